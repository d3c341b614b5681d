package config

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
)

// example is the whole file with a comment on nearly every key. It is tested to
// load.
//
//go:embed testdata/full.yaml
var example string

const preface = `# Configuration

<!-- Generated from cmd/tollgate/config; UPDATE_GOLDEN=1 go test ./cmd/tollgate/config writes it. -->

tollgate reads one YAML file: ` + "`--config FILE`, `tollgate.yaml`" + ` when not given. ` + "`tollgate config check`" + `
reports every fault of it at once, with line, column and what would be right. Editors that know JSON Schema
take [tollgate.schema.json](tollgate.schema.json).

## An example with every key

` + "```yaml\n"

const rules = "```" + `

## The language

- Unknown keys, keys that stand twice and a second document are errors. So are anchors, aliases, merge keys and tags.
- Numbers are decimal: no leading zeros, no ` + "`0x`, no `_`" + `. Truth values are ` + "`true` and `false`" + `, nothing else.
- Durations are written with units, ` + "`30s`, `15m`, `1h30m`, `720h`" + `; sizes in ` + "`KiB`, `MiB` or `GiB`" + `, or as a bare number of bytes.
- Relative paths are relative to the file.
- An empty text, an empty list where items are needed and a key without a value are errors: leave the key out instead.
- A text that begins with ` + "`*`" + `, ends with a colon, or has brackets in it inside ` + "`{…}` or `[…]`" + ` needs quotes.

### Variables

| written | stands for |
|---|---|
| ` + "`${NAME}`" + ` | the environment variable; an error when it is not set |
| ` + "`${NAME:-default}`" + ` | the same, or the default when it is not set or empty |
| ` + "`${file:PATH}`" + ` | the contents of a file without the newline at its end, up to 64 KiB of text |
| ` + "`$${`" + ` | the characters ` + "`${`" + ` themselves |

They may stand in every value, alone or inside a longer text, and act after YAML was read: no value can add keys
or lists. What is filled in is not looked at again. It is then read as the key needs it, so that
` + "`per_minute: \"${LIMIT}\"`" + ` is a number. Inside ` + "`{…}` and `[…]`" + ` variables need quotes. What a variable stands for is
never shown in an error, only its name is.

`

// Reference returns the reference page in Markdown: an example, the language and
// every key.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(preface + example + rules)
	table(&b, reflect.TypeFor[Config](), "", "Keys")
	return []byte(b.String())
}

// table describes a block, and the blocks in it below.
func table(b *strings.Builder, t reflect.Type, path, title string) {
	fmt.Fprintf(b, "## %s\n\n", title)
	fields := fieldsOf(t)
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for i := range fields {
		f := &fields[i]
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(f.name), cell(f.words()), cell(f.defaultWords()), cell(f.sentence()))
	}
	b.WriteString("\n")
	for i := range fields {
		f := &fields[i]
		if !f.isBlock() || f.status == unsupported {
			continue
		}
		at := join(path, f.name)
		switch f.typ.Kind() {
		case reflect.Slice:
			at += "[]"
		case reflect.Map:
			at += ".NAME"
		}
		table(b, block(f.typ), at, code(at))
	}
}

// block is the struct of a block, of its items, or of what its names stand for.
func block(t reflect.Type) reflect.Type {
	for t.Kind() != reflect.Struct {
		t = t.Elem()
	}
	return t
}

// words describes the type of a key.
func (f *field) words() string {
	switch f.typ.Kind() {
	case reflect.Slice:
		if f.isBlock() {
			return "list of blocks"
		}
		return "list of: " + f.item().words()
	case reflect.Map:
		return "blocks by name"
	}
	if f.isBlock() {
		return "block"
	}
	if len(f.enum) > 0 {
		words := make([]string, len(f.enum))
		for i, w := range f.enum {
			words[i] = code(w)
		}
		return strings.Join(words, ", ")
	}
	return f.kind() + f.within()
}

func (f *field) defaultWords() string {
	switch {
	case f.required:
		return "required"
	case f.computed != "":
		return f.computed
	case f.def == "":
		return ""
	case f.typ.Kind() == reflect.Slice:
		return code("[" + strings.Join(strings.Fields(f.def), ", ") + "]")
	}
	return code(f.def)
}

func code(text string) string { return "`" + text + "`" }

// cell keeps a text from ending its table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
