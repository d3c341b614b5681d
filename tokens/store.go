package tokens

import (
	"errors"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// What every store answers, whichever database it keeps its records in. Callers
// compare with errors.Is; the texts name the record.
var (
	// ErrNotFound means that there is no record of that name.
	ErrNotFound = errors.New("not found")
	// ErrAliasTaken means that the alias is another client's alias or ID.
	ErrAliasTaken = errors.New("alias already taken")
	// ErrExists means that there is one already.
	ErrExists = errors.New("exists already")
	// ErrFixed means that an edit wanted to change what is fixed when a record is made.
	ErrFixed = errors.New("fixed when the record is made")
	// ErrIDTaken means that the ID is another client's ID or alias.
	ErrIDTaken = errors.New("client ID already taken")
	// ErrSpent means that a refresh token is not its family's most recent one.
	ErrSpent = errors.New("the refresh token was used before")
	// ErrEnded means that the family has ended.
	ErrEnded = errors.New("the refresh token's family has ended")
	// ErrMoved means that an account uses OAuth 2.0 at an API, so that no more API
	// keys are made for it there (row I5).
	ErrMoved = errors.New("the account uses OAuth 2.0 there: no more API keys are made for it")
	// ErrCredit means that a credit would take the sum of its account's out of its
	// bounds.
	ErrCredit = errors.New("an account's credit stays from 0.00 to " + quota.Micros(quota.Most).String())
)
