// Package test holds the rules of the house: what no compiler checks and every
// reader relies on.
package test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/extauthz"
	"github.com/tollgate-authz/tollgate/envoy"
)

const module = "github.com/tollgate-authz/tollgate/"

// mayImport is the direction of imports: a package may use those named here, of
// ours, and nothing else.
var mayImport = map[string][]string{
	"authz":                    {"authz/deny", "authz/route", "limiter", "limiter/quota", "tokens"},
	"authz/deny":               {},
	"authz/decisions":          {},
	"authz/extauthz":           {"authz", "authz/decisions", "authz/deny", "authz/stats", "limiter", "tokens"},
	"authz/route":              {},
	"authz/stats":              {"limiter/quota"},
	"cmd/tollgate":             {"authz", "authz/decisions", "authz/deny", "authz/extauthz", "authz/route", "authz/stats", "cmd/tollgate/config", "envoy", "limiter", "limiter/quota", "tokens", "tokens/endpoint", "tokens/manage", "tokens/sqlite"},
	"cmd/tollgate/config":      {"authz/route", "limiter/quota", "tokens"},
	"envoy":                    {},
	"limiter":                  {},
	"limiter/quota":            {"limiter"},
	"limiter/quota/ledgertest": {"limiter", "limiter/quota"},
	"proto/tollgate/v1":        {},
	"tokens":                   {"limiter/quota", "tokens/strictjson"},
	"tokens/endpoint":          {"limiter", "limiter/quota", "tokens", "tokens/strictjson"},
	"tokens/manage":            {"authz/decisions", "authz/stats", "limiter", "limiter/quota", "tokens", "tokens/strictjson"},
	"tokens/sqlite":            {"authz/stats", "limiter", "limiter/quota", "tokens"},
	"tokens/storetest":         {"authz/stats", "limiter/quota", "tokens"},
	"tokens/strictjson":        {},
}

// source is one Go file that is no test.
type source struct {
	path string // from the root
	dir  string
	file *ast.File
	fset *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	for _, top := range []string{"authz", "cmd", "envoy", "limiter", "proto", "tokens"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			rel := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
			list = append(list, source{rel, filepath.ToSlash(filepath.Dir(rel)), file, fset})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(list) < 50 {
		t.Fatalf("only %d files found", len(list))
	}
	return list
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, known := mayImport[s.dir]
		if !known {
			t.Errorf("%s: the package is not in the table of imports", s.path)
		}
		for _, i := range s.file.Imports {
			if ours, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", s.path, ours)
			}
		}
	}
}

// TestTimeComesIn: no package reads the clock but in cmd and where a nil Now
// gets its default.
func TestTimeComesIn(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if strings.HasPrefix(s.path, "cmd/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep"}, sel.Sel.Name) {
					t.Errorf("%s: calls time.%s", s.fset.Position(call.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	for _, s := range sources(t) {
		said[s.dir] = said[s.dir] || s.file.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// TestEveryRefusalHasAnEndToEndScript: a row of package deny without one fails.
func TestEveryRefusalHasAnEndToEndScript(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("../authz/deny/deny.go")
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := os.ReadFile("e2e/codes_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\t(\w+) +(?:= )?reason\(|^\t(\w+) = reason\(`).FindAllStringSubmatch(string(table), -1)
	if len(rows) < 8 {
		t.Fatalf("%d rows found in deny.go", len(rows))
	}
	for _, row := range rows {
		if name := row[1] + row[2]; !bytes.Contains(scripts, []byte(`"`+name+`"`)) {
			t.Errorf("deny.%s has no script in test/e2e/codes_test.go", name)
		}
	}
}

// TestFrontKnowsEveryHeaderWeTouch: Envoy drops a change of a header that its
// mutation rules do not name, without a word.
func TestFrontKnowsEveryHeaderWeTouch(t *testing.T) {
	t.Parallel()
	written, err := extauthz.Answer(&authz.Request{}, &authz.Decision{Allowed: true, HideToken: true})
	if err != nil {
		t.Fatal(err)
	}
	front, err := envoy.YAML(envoy.Front{Listen: "127.0.0.1:0", Upstream: "127.0.0.1:1", Check: "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`regex: ['"]?(\^\(x-tollgate-.*\$)`).FindSubmatch(front)
	if len(written) < 8 || found == nil {
		t.Fatalf("headers %v, rules %q", written, found)
	}
	rules := regexp.MustCompile(string(found[1]))
	for name := range written {
		if !rules.MatchString(name) {
			t.Errorf("the front's mutation rules do not name %s: %s", name, rules)
		}
	}
}

// TestDependenciesAreExplained: each direct one has its line.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for line := range strings.SplitSeq(string(mod), "\n") {
		name, _, ok := strings.Cut(strings.TrimSpace(line), " v")
		if !ok || strings.Contains(line, "// indirect") || !strings.Contains(name, ".") {
			continue
		}
		direct++
		if !bytes.Contains(doc, []byte("| "+name+" |")) {
			t.Errorf("docs/dependencies.md says nothing of %s", name)
		}
	}
	if direct < 10 {
		t.Errorf("%d direct dependencies found", direct)
	}
}

// TestLinksLeadSomewhere: relative links of the pages point at files.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
			}
		}
	}
}

// TestTreeIsTheOneOfTheREADME: nothing lies at the top that it does not name.
func TestTreeIsTheOneOfTheREADME(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "-C", "..", "ls-tree", "--name-only", "HEAD").Output()
	if err != nil {
		t.Skip("no git checkout: ", err)
	}
	allowed := strings.Fields("cmd authz tokens limiter envoy proto test go.mod go.sum Dockerfile README.md LICENSE CHANGELOG.md SECURITY.md CONTRIBUTING.md Makefile compose.yaml docs .ci .gitignore .dockerignore")
	for name := range strings.FieldsSeq(string(out)) {
		if !slices.Contains(allowed, name) {
			t.Errorf("%s lies at the top of the tree", name)
		}
	}
}
