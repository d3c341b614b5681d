// Package api judges the management API from outside, by programs that other people
// wrote: schemathesis sends what the OpenAPI file allows and what it forbids, a validator
// reads the file, and a client that a generator made of it is used. All of it is against
// the tollgate binary, and takes every operation that is in the file. What the operations
// mean is checked in tokens/manage.
package api

import (
	"os"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

func TestMain(m *testing.M) {
	os.Exit(outside.Run(m))
}
