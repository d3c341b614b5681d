package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// scalar is one value of the file, with its variables filled in.
type scalar struct {
	text string
	kind scalarKind
}

// scalarKind says what YAML took the value for.
type scalarKind uint8

const (
	plain    scalarKind = iota // text without quotes
	quoted                     // text in quotes, or a block of text
	numeral                    // a number, as it is written
	boolean                    // true or false, as it is written
	expanded                   // whatever it becomes: a variable was filled in, or a default is set
)

// set reads a value into v as the field says. Its error says what is wrong and
// what would be right.
func (f *field) set(v reflect.Value, s scalar, dir string) error {
	if f.form != nil && f.form.size {
		n, err := f.size(s)
		v.SetInt(n)
		return err
	}
	switch {
	case v.Type() == durationType:
		d, err := f.duration(s)
		v.SetInt(int64(d))
		return err
	case v.Type() == storeType:
		text, err := f.text(s, dir)
		if err == nil {
			v.Set(reflect.ValueOf(asStore(text)))
		}
		return err
	case v.Type() == priceType:
		amount, err := f.price(s, dir)
		v.SetInt(int64(amount))
		return err
	}
	switch v.Kind() {
	case reflect.Bool:
		if s.kind != boolean && s.kind != expanded || s.text != "true" && s.text != "false" {
			return fmt.Errorf("%s is not a truth value; write true or false", show(s.text))
		}
		v.SetBool(s.text == "true")
	case reflect.Int, reflect.Int64:
		n, err := f.whole(s)
		v.SetInt(n)
		return err
	case reflect.Float64:
		x, err := f.float(s)
		v.SetFloat(x)
		return err
	default:
		text, err := f.text(s, dir)
		v.SetString(text)
		return err
	}
	return nil
}

// text reads a text by the field's form or its list of words.
func (f *field) text(s scalar, dir string) (string, error) {
	read := func() (string, error) {
		if f.form != nil {
			return f.form.check(s.text, dir)
		}
		return f.word(s.text)
	}
	if s.kind == numeral || s.kind == boolean {
		if f.form != nil && f.form.secret {
			return "", errors.New("a number is not a text; write it with quotes")
		}
		// Account 0.10 would be read as 0.1 by other tools, and name 010 as 8.
		if _, err := read(); err != nil {
			return "", fmt.Errorf("%s is not a text; %s", s.text, f.want())
		}
		return "", fmt.Errorf(`%s is not a text; write "%s" with quotes`, s.text, s.text)
	}
	switch {
	case s.text == "" && (f.form == nil || !f.form.empty):
		return "", fmt.Errorf("the text is empty; %s, or leave it out", f.want())
	case !utf8.ValidString(s.text) || strings.ContainsFunc(s.text, isControl):
		return "", errors.New("a line break or another control character stands in it; " + f.want())
	}
	return read()
}

// price reads an amount. A number without quotes is kept as it is written, so that no
// float comes between the file and the money.
func (f *field) price(s scalar, dir string) (quota.Micros, error) {
	if s.kind == numeral {
		s.kind = plain
	}
	text, err := f.text(s, dir)
	if err != nil {
		return 0, err
	}
	return quota.ParseMicros(text)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// word reads one of the field's words; without a list every text will do.
func (f *field) word(text string) (string, error) {
	lower := strings.ToLower(text)
	switch {
	case len(f.enum) == 0 || slices.Contains(f.enum, text):
		return text, nil
	case slices.Contains(f.enum, lower) && strings.HasPrefix(text, "%"): // escapes have no case
		return lower, nil
	}
	if guess := nearest(text, f.enum); guess != "" && len(f.enum) == 1 {
		return "", fmt.Errorf("%s is unknown; write %q", show(text), guess)
	} else if guess != "" {
		return "", fmt.Errorf("%s is unknown; did you mean %q? %s", show(text), guess, f.want())
	}
	return "", fmt.Errorf("%s is unknown; %s", show(text), f.want())
}

var (
	decimal    = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	fraction   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	underscore = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(\.[0-9_]+)?$`)
	otherBase  = regexp.MustCompile(`^[-+]?0[xXbBoO][0-9a-fA-F_]+$`)
	octal      = regexp.MustCompile(`^[-+]?0[0-9]+$`)
)

func (f *field) whole(s scalar) (int64, error) {
	if err := f.numeral(s, decimal); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is too large; %s%s", s.text, f.want(), f.orNone())
	}
	return n, f.bounded(s, float64(n))
}

func (f *field) float(s scalar) (float64, error) {
	if err := f.numeral(s, fraction); err != nil {
		return 0, err
	}
	x, err := strconv.ParseFloat(s.text, 64)
	if err != nil || math.IsInf(x, 0) {
		return 0, fmt.Errorf("%s is too large; %s", s.text, f.want())
	}
	return x, f.bounded(s, x)
}

// numeral refuses what different readers of YAML take for different numbers, or
// for a number at all.
func (f *field) numeral(s scalar, language *regexp.Regexp) error {
	switch {
	case s.kind == quoted && language.MatchString(s.text):
		return fmt.Errorf("%q is a text; write %s without quotes", s.text, s.text)
	case s.kind != quoted && language.MatchString(s.text):
		return nil
	case octal.MatchString(s.text):
		return fmt.Errorf("%s is octal to some readers and decimal to others; write the number without the leading zero", s.text)
	case otherBase.MatchString(s.text):
		return fmt.Errorf("%s is not decimal; write the number in decimal digits", s.text)
	case underscore.MatchString(s.text) && strings.Contains(s.text, "_"):
		return fmt.Errorf("%s has underscores, which not every reader takes for a number; write %s", s.text, strings.ReplaceAll(s.text, "_", ""))
	}
	if s.kind == numeral {
		return fmt.Errorf("%s does not fit; %s", s.text, f.want())
	}
	return fmt.Errorf("%s does not fit; %s", show(s.text), f.want())
}

func (f *field) bounded(s scalar, x float64) error {
	below := f.least != nil && (x < f.least.value || f.least.open && x == f.least.value)
	switch {
	case below && x == 0 && f.orNone() != "":
		return fmt.Errorf("%s allows nothing; %s%s", s.text, f.want(), f.orNone())
	case below:
		return fmt.Errorf("%s is too small; %s", s.text, f.want())
	case f.most != nil && x > f.most.value:
		return fmt.Errorf("%s is too large; %s%s", s.text, f.want(), f.orNone())
	}
	return nil
}

// orNone says of a limit that it need not be.
func (f *field) orNone() string {
	if f.typ.Kind() == reflect.Int64 && f.def == "" && !f.required {
		return ", or leave the key out for no limit"
	}
	return ""
}

func (f *field) duration(s scalar) (time.Duration, error) {
	if fraction.MatchString(s.text) {
		return 0, fmt.Errorf("%s has no unit; write %ss for seconds, or another duration such as 15m or 720h", s.text, s.text)
	}
	if days, found := strings.CutSuffix(s.text, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 100_000 {
			return 0, fmt.Errorf("%s: there is no unit for days; write %dh", show(s.text), 24*n)
		}
	}
	d, err := time.ParseDuration(s.text)
	if err != nil || s.kind == boolean {
		return 0, fmt.Errorf("%s is not a duration; %s", show(s.text), f.want())
	}
	if d < 0 {
		return 0, fmt.Errorf("%s is negative; %s", show(s.text), f.want())
	}
	return d, f.bounded(s, float64(d))
}

var sizeForm = regexp.MustCompile(`^(0|[1-9][0-9]*)([A-Za-z]*)$`)

var units = map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// size reads a number of bytes. Only binary units are read: whether MB means
// 1000 or 1024 is a matter of taste.
func (f *field) size(s scalar) (int64, error) {
	parts := sizeForm.FindStringSubmatch(s.text)
	if parts == nil || s.kind == boolean {
		return 0, fmt.Errorf("%s is not a size; %s", show(s.text), f.want())
	}
	unit, known := units[parts[2]]
	if !known {
		if first := strings.ToUpper(parts[2][:1]); strings.Contains("KMG", first) && len(parts[2]) <= 3 {
			return 0, fmt.Errorf("%s: the units are KiB, MiB and GiB; write %s%siB", show(s.text), parts[1], first)
		}
		return 0, fmt.Errorf("%s: the units are KiB, MiB and GiB; %s", show(s.text), f.want())
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%s is too large; %s", show(s.text), f.want())
	}
	return n * unit, f.bounded(s, float64(n*unit))
}
