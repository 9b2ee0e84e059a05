package unitgen_test

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"rollbridge/unitgen"
)

// busText is the bus form for reading, a line per property: its name, its
// signature, its parts.
func busText(u unitgen.Unit) string {
	var b strings.Builder
	for _, p := range u.Properties {
		b.WriteString(p.Name)
		v := reflect.ValueOf(p.Value)
		for _, word := range append([]string{signature(v.Type())}, busParts(v, asText)...) {
			if strings.ContainsAny(word, " \"'\\") {
				word = strconv.Quote(word)
			}
			b.WriteString(" " + word)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// signature is the bus type that a value is encoded as.
func signature(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a" + signature(t.Elem())
	case reflect.Struct:
		text := "("
		for i := range t.NumField() {
			text += signature(t.Field(i).Type)
		}
		return text + ")"
	}
	return map[reflect.Kind]string{
		reflect.String: "s", reflect.Bool: "b", reflect.Uint8: "y",
		reflect.Int32: "i", reflect.Uint32: "u", reflect.Uint64: "t",
	}[t.Kind()]
}

// busParts flattens a value; a list begins with its length. Bytes are left to
// the caller.
func busParts(v reflect.Value, bytes func([]byte) []string) (words []string) {
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return bytes(v.Bytes())
	case v.Kind() == reflect.Slice:
		words = []string{strconv.Itoa(v.Len())}
		for i := range v.Len() {
			words = append(words, busParts(v.Index(i), bytes)...)
		}
		return words
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			words = append(words, busParts(v.Field(i), bytes)...)
		}
		return words
	}
	return []string{fmt.Sprint(v.Interface())}
}

// asText is bytes for reading.
func asText(b []byte) []string { return []string{string(b)} }

// asNumbers is bytes as busctl(1) takes them.
func asNumbers(b []byte) []string {
	words := []string{strconv.Itoa(len(b))}
	for _, c := range b {
		words = append(words, strconv.Itoa(int(c)))
	}
	return words
}
