package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// Every constant is in one of the two lists, and nothing else is.
func TestLists(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		name, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
		actor := strings.HasPrefix(spec.Names[0].Name, "Actor")
		if Valid(name) == actor || ValidActor(name) != actor {
			t.Errorf("%s is not in its list", name)
		}
		return true
	})
	if len(names) != len(events)+len(actors) {
		t.Errorf("%d constants, %d listed", len(names), len(events)+len(actors))
	}
	for _, unknown := range []string{"", "login", "Login.Succeeded", "login.succeeded "} {
		if Valid(unknown) || ValidActor(unknown) {
			t.Errorf("%q is known", unknown)
		}
	}
}
