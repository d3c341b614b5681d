package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document returns the one document of the file, or nil after a fault.
func (r *reader) document(data []byte) ast.Node {
	data, _ = bytes.CutPrefix(data, []byte("\ufeff"))
	if line, column, ok := notUTF8(data); ok {
		r.faultAt(line, column, "", "the file is not UTF-8 from here on; save it as UTF-8")
		return nil
	}
	var file *ast.File
	sound := true
	err := guard(func() (err error) {
		tokens := lexer.Tokenize(string(data))
		if sound = r.single(tokens); sound {
			file, err = parser.Parse(joinColons(tokens), 0, parser.AllowDuplicateMapKey())
		}
		return err
	})
	switch {
	case err != nil:
		r.syntax(err, data)
		return nil
	case !sound:
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return doc.Body
		}
	}
	// A reload may meet a file that an editor has just emptied.
	r.faultAt(1, 1, "", `the file is empty; write "apis: []" if nothing is to be protected yet`)
	return nil
}

func notUTF8(data []byte) (line, column int, found bool) {
	line = 1
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		column++
		switch {
		case c == utf8.RuneError && n <= 1:
			return line, column, true
		case c == '\n':
			line, column = line+1, 0
		}
		data = data[n:]
	}
	return 0, 0, false
}

// guard makes a panic of the parser an error: it must not end a process that only
// wanted to look at a new file.
func guard(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser does not understand it")
		}
	}()
	return f()
}

// syntax reports what is not YAML.
func (r *reader) syntax(err error, data []byte) {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &at) || at.GetToken() == nil {
		r.faultAt(1, 1, "", "the file is not YAML (%v); see the lines that were changed last", err)
		return
	}
	p := at.GetToken().Position
	r.faultAt(p.Line, p.Column, "", "the file is not YAML here (%s); %s", at.GetMessage(), cure(data, p.Line))
}

// cure guesses from the line what its author has run into.
func cure(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return "see the brackets and quotes before it"
	}
	text := strings.TrimRight(lines[line-1], "\r")
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "indent with spaces, not with tabs"
	case strings.Contains(text, "${") || strings.Contains(text, "/{"):
		return `inside {…} and […] write a text with braces in quotes, like "${NAME}" or "GET /v1/{id}"`
	case strings.ContainsAny(text, "*@`%&!"):
		return `write a text that begins with one of * & ! % @ in quotes, like "*"`
	case strings.HasSuffix(strings.TrimSpace(text), ":"):
		return `write a text that ends with a colon in quotes, like "sqlite::memory:"`
	case strings.Count(text, ": ") > 1:
		return `write a text that holds ": " in quotes`
	}
	return "see the indentation, the brackets and the quotes here and in the lines before"
}
