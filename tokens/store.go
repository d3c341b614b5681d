package tokens

import "errors"

// What every store answers, whichever database it keeps its records in. Callers
// compare with errors.Is; the texts name the record.
var (
	// ErrNotFound means that there is no record of that name.
	ErrNotFound = errors.New("not found")
	// ErrAliasTaken means that the alias is another client's alias or ID.
	ErrAliasTaken = errors.New("alias already taken")
	// ErrIDTaken means that the ID is another client's ID or alias.
	ErrIDTaken = errors.New("client ID already taken")
)
