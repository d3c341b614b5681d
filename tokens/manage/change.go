package manage

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// change is a field of a PATCH: left out, it stays as it is; null takes it away.
type change[T any] struct {
	Sent  bool
	Null  bool
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *change[T]) UnmarshalJSON(text []byte) error {
	c.Sent = true
	if string(text) == "null" {
		c.Null = true
		return nil
	}
	return json.Unmarshal(text, &c.Value)
}

// MarshalJSON implements json.Marshaler.
func (c change[T]) MarshalJSON() ([]byte, error) {
	if c.Null {
		return []byte("null"), nil
	}
	return json.Marshal(c.Value)
}

// Schema implements huma.SchemaProvider.
func (c change[T]) Schema(r huma.Registry) *huma.Schema {
	var value T
	schema := *huma.SchemaFromType(r, reflect.TypeOf(value))
	schema.Nullable = true
	return &schema
}

// apply makes the change; null is the zero value, which is no limit.
func (c *change[T]) apply(to *T) {
	if c.Sent {
		*to = c.Value
	}
}
