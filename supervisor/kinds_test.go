package supervisor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestEveryKindHasAnIDOfItsOwn(t *testing.T) {
	id := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)
	seen := map[string]Kind{}
	messages := map[string]bool{}
	for _, k := range Kinds() {
		if !id.MatchString(k.ID) {
			t.Errorf("%s: %q is no random id", k.Message, k.ID)
		}
		// Hooks differ by their name only.
		if first, taken := seen[k.ID]; taken && afterHook(first.Message) != afterHook(k.Message) {
			t.Errorf("%q and %q have one id", first.Message, k.Message)
		}
		if messages[k.Message] {
			t.Errorf("%q is there twice", k.Message)
		}
		seen[k.ID], messages[k.Message] = k, true
	}
}

func afterHook(message string) string {
	_, after, found := strings.Cut(message, " command ")
	if !found {
		return message
	}
	return after
}

func TestEveryEventInTheCodeIsAKind(t *testing.T) {
	found := 0
	for _, message := range messagesInCode(t) {
		found++
		known := false
		for _, k := range Kinds() {
			known = known || k.Message == message || strings.HasPrefix(message, " ") && strings.HasSuffix(k.Message, message)
		}
		if !known {
			t.Errorf("%q is no kind: add it to kinds.go and to docs/logging.md", message)
		}
	}
	if found < 30 {
		t.Errorf("only %d events found", found)
	}
}

// messagesInCode are the messages of all events that this program can record;
// of one that is put together, its constant end.
func messagesInCode(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if path == filepath.Join("..", "supervisor", "gate") {
			return fs.SkipDir // it tells systemd, not us
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if message, ok := eventMessage(n); ok {
				all = append(all, message)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// eventMessage is the message of an event that a piece of code records: in a
// call of Note or note, in one of a runner's tell, or in a runner's Event.
func eventMessage(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.CallExpr:
		called, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return "", false
		}
		switch called.Sel.Name {
		case "Note", "note", "tell", "tellNow":
			for _, arg := range n.Args[:min(3, len(n.Args))] {
				if message, ok := constantEnd(arg); ok {
					return message, true
				}
			}
		}
	case *ast.CompositeLit:
		if name, ok := typeName(n.Type); ok && name == "Event" {
			for _, element := range n.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok && isNamed(pair.Key, "Message") {
					return constantEnd(pair.Value)
				}
			}
		}
	}
	return "", false
}

func typeName(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name, true
	case *ast.SelectorExpr:
		return e.Sel.Name, true
	}
	return "", false
}

func isNamed(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

func constantEnd(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		return constantEnd(e.Y)
	}
	return "", false
}

func TestDocsListEveryKind(t *testing.T) {
	text, err := os.ReadFile("../docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| `([0-9a-f]{32})` \\|$")
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		if _, twice := listed[found[1]]; twice {
			t.Errorf("%q is listed twice", found[1])
		}
		listed[found[1]] = found[2]
	}
	kinds := map[string]bool{}
	for _, k := range Kinds() {
		message := k.Message
		if afterHook(message) != message {
			message = "… command " + afterHook(message)
		}
		if listed[message] != k.ID {
			t.Errorf("docs/logging.md has the id %q for %q, want %s", listed[message], message, k.ID)
		}
		kinds[message] = true
	}
	for message := range listed {
		if !kinds[message] {
			t.Errorf("docs/logging.md lists %q, which is no kind", message)
		}
	}
}
