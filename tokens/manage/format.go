package manage

import "github.com/danielgtaylor/huma/v2"

// patterns says to readers of the OpenAPI file what a format is, as far as a pattern can.
// Judged it is by the functions that are named here, which say better what would be right.
// Go, JavaScript and Python read these patterns alike.
var patterns = map[string]string{
	"name":  "^([^" + unprintable + "]*[^" + unprintable + spaces + "][^" + unprintable + "]*)?$", // faultyName
	"scope": `^[!#-\[\]-~]{1,256}$`,                                                               // tokens.ValidScope
}

const (
	unprintable = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"
	spaces      = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
)

// describeFormats writes the patterns into all schemas.
func describeFormats(r huma.Registry) {
	for _, schema := range r.Map() {
		for _, property := range schema.Properties {
			target := property
			if property.Type == huma.TypeArray {
				target = property.Items
			}
			if pattern := patterns[target.Format]; pattern != "" {
				extend(target, "pattern", pattern)
			}
		}
	}
}

// extend adds a keyword that is only said, and judged by ourselves.
func extend(s *huma.Schema, keyword string, value any) {
	if s.Extensions == nil {
		s.Extensions = map[string]any{}
	}
	s.Extensions[keyword] = value
}

// both is what a document has that has these members.
func both(names ...string) map[string]any { return map[string]any{"required": names} }
