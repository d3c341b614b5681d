package manage

import (
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// someMoney is an amount that is not 0, which as a limit would mean that there is none.
type someMoney quota.Micros

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *someMoney) UnmarshalText(text []byte) error { return (*quota.Micros)(m).UnmarshalText(text) }

// MarshalText implements encoding.TextMarshaler.
func (m someMoney) MarshalText() ([]byte, error) { return quota.Micros(m).MarshalText() }

// Schema implements huma.SchemaProvider.
func (someMoney) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^" + aboveZero() + "$", PatternDescription: "an amount above 0 such as 10.00", Examples: []any{"10.00"}}
}

// aboveZero is the pattern of amounts with a digit that is not 0: one before the point, or
// one of the six behind it.
func aboveZero() string {
	var fractions []string
	for i := range 6 {
		fractions = append(fractions, fmt.Sprintf("%s[1-9][0-9]{0,%d}", strings.Repeat("0", i), 5-i))
	}
	return "([1-9][0-9]{0,8}([.][0-9]{1,6})?|0[.](" + strings.Join(fractions, "|") + "))"
}

// credited is an amount that is not 0; negative is a correction.
type credited struct{ someMoney }

// Schema implements huma.SchemaProvider.
func (credited) Schema(r huma.Registry) *huma.Schema {
	s := someMoney(0).Schema(r)
	s.Pattern, s.PatternDescription = "^-?"+aboveZero()+"$", "an amount such as 10.00, and not 0"
	return s
}
