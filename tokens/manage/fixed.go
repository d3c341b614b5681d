package manage

import (
	"github.com/danielgtaylor/huma/v2"
)

// fixed is a field that a PATCH knows and refuses, whatever it holds: whoever sends it is
// told why it cannot be changed, and not that it is unknown (row I2). It is hidden from the
// OpenAPI file.
type fixed bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *fixed) UnmarshalJSON([]byte) error {
	*f = true
	return nil
}

// Schema implements huma.SchemaProvider.
func (fixed) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Nullable: true} }

// faultyFixed refuses each of the fields that was sent, for one reason.
func faultyFixed(reason string, fields map[string]fixed) (faults []error) {
	for name, sent := range fields {
		if sent {
			faults = append(faults, wrong("body."+name, reason))
		}
	}
	return faults
}
