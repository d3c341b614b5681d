package config

import (
	"reflect"
	"testing"
)

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	requireGolden(t, "../../../docs/configuration.md", Reference())
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	requireGolden(t, "../../../docs/tollgate.schema.json", Schema())
}

// A key without a line in the reference is one that nobody finds.
func TestEveryKeyIsDescribed(t *testing.T) {
	t.Parallel()
	var look func(reflect.Type)
	look = func(typ reflect.Type) {
		for _, f := range fieldsOf(typ) {
			if f.doc == "" {
				t.Errorf("%s.%s has no doc", typ.Name(), f.name)
			}
			if f.isBlock() {
				look(block(f.typ))
			}
		}
	}
	look(reflect.TypeFor[Config]())
}
