package unitgen

import (
	"bytes"
	"encoding/json"
)

// MarshalJSON writes an object of the properties, in their order. Infinity is
// the word "infinity"; bytes are text.
func (p Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, property := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + property.Name + `":`)
		if err := e.Encode(readable(property.Value)); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// readable is a value in the types of JSON.
func readable(value any) any {
	switch v := value.(type) {
	case uint64:
		if v == Infinity {
			return "infinity"
		}
	case [][]byte:
		texts := []string{}
		for _, text := range v {
			texts = append(texts, string(text))
		}
		return texts
	}
	return value
}
