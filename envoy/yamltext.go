package envoy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// toYAML writes a message with its fields in the order of their definition and
// under the names of the Envoy documentation.
func toYAML(m proto.Message) ([]byte, error) {
	// protojson varies its white space from build to build on purpose. Its
	// tokens do not vary, and only they are used.
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	w := yamlWriter{in: json.NewDecoder(bytes.NewReader(text))}
	w.in.UseNumber()
	if err := w.value(0, "\n"); err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(w.out.Bytes(), []byte("\n")), nil
}

// yamlWriter turns JSON into block style YAML, token by token.
type yamlWriter struct {
	in  *json.Decoder
	out bytes.Buffer
}

// value writes the next value at an indentation. A mapping or sequence begins
// with open: a line break after a key, or a blank after a dash.
func (w *yamlWriter) value(indent int, open string) error {
	token, err := w.in.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return w.scalar(token)
	case !w.in.More():
		if delim == '{' {
			w.out.WriteString(" {}\n")
		} else {
			w.out.WriteString(" []\n")
		}
	case delim == '{':
		err = w.mapping(indent, open)
	case open == "\n":
		err = w.sequence(indent)
	default: // in a sequence
		err = w.sequence(indent + 2)
	}
	if err != nil {
		return err
	}
	_, err = w.in.Token() // the closing delimiter
	return err
}

func (w *yamlWriter) mapping(indent int, open string) error {
	for lead := open; w.in.More(); lead = "" {
		key, err := w.in.Token()
		if err != nil {
			return err
		}
		switch lead {
		case "": // a line has ended
			w.out.WriteString(strings.Repeat(" ", indent))
		case "\n":
			w.out.WriteString("\n" + strings.Repeat(" ", indent))
		default:
			w.out.WriteString(lead)
		}
		fmt.Fprintf(&w.out, "%s:", quote(key.(string)))
		if err := w.value(indent+2, "\n"); err != nil {
			return err
		}
	}
	return nil
}

// sequence puts its dashes below the key it belongs to, as Envoy's examples do.
func (w *yamlWriter) sequence(indent int) error {
	w.out.WriteByte('\n')
	for w.in.More() {
		w.out.WriteString(strings.Repeat(" ", indent-2) + "-")
		if err := w.value(indent, " "); err != nil {
			return err
		}
	}
	return nil
}

func (w *yamlWriter) scalar(token json.Token) error {
	text := fmt.Sprint(token)
	if s, ok := token.(string); ok {
		text = quote(s)
	} else if token == nil {
		text = "null"
	}
	_, err := fmt.Fprintf(&w.out, " %s\n", text)
	return err
}

// plain are strings that no YAML parser takes for anything else: words and
// paths, IPv4 addresses, durations.
var plain = regexp.MustCompile(`^([A-Za-z/][A-Za-z0-9_./:-]*[A-Za-z0-9_/]|/|\d+(\.\d+){3}|\d+(\.\d+)?s)$`)

// notStrings are the words that some parser takes for a boolean or a number.
var notStrings = []string{"yes", "no", "on", "off", "true", "false", "null", "inf", "nan", "infinity"}

var printable = regexp.MustCompile(`^[ -~]*$`)

func quote(s string) string {
	switch {
	case plain.MatchString(s) && !slices.Contains(notStrings, strings.ToLower(s)):
		return s
	case printable.MatchString(s) && !strings.ContainsAny(s, `"\`):
		return `"` + s + `"`
	case printable.MatchString(s):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return strconv.QuoteToASCII(s) // YAML knows all of Go's escapes
}
