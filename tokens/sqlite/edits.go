package sqlite

import (
	"fmt"
	"reflect"

	"github.com/tollgate-authz/tollgate/tokens"
)

// edited lets f change a record, and refuses what it may not change. read returns the
// record anew each time, so that what f does in place to a list of it shows. free
// copies those fields that an edit may change.
func edited[R any](read func() (*R, error), f func(*R) error, free func(to, from *R)) (was, now *R, err error) {
	if was, err = read(); err != nil {
		return nil, nil, err
	}
	if now, err = read(); err != nil {
		return nil, nil, err
	}
	if err := f(now); err != nil {
		return nil, nil, err
	}
	allowed := *was
	if free(&allowed, now); !reflect.DeepEqual(&allowed, now) {
		return nil, nil, fmt.Errorf("the edit changes what is %w", tokens.ErrFixed)
	}
	return was, now, nil
}

// permit asks a precondition, nil for none.
func permit[R any](check func(*R) error, r *R) error {
	if check == nil {
		return nil
	}
	return check(r)
}
