package manage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Accounts is where accounts are. Errors are those of package tokens, such as ErrNotFound
// and ErrExists; those of edit are returned, and nothing is changed then.
type Accounts interface {
	Account(ctx context.Context, name string) (*tokens.Account, error)
	AccountsPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.Account, error)
	CreateAccount(ctx context.Context, a *tokens.Account) error
	EditAccount(ctx context.Context, name string, edit func(*tokens.Account) error) (*tokens.Account, error)
}

// Account is whose limits, time zone and money count.
type Account struct {
	Name      string       `json:"name"`
	Zone      string       `json:"zone,omitempty" doc:"Time zone that its days begin in. Left out: as configured." example:"Europe/Berlin"`
	Credit    quota.Micros `json:"credit" doc:"The sum of all its credits; /wallet tells what is left of it." example:"50.00"`
	CreatedAt time.Time    `json:"created_at"`
}

// accountAnswer is the answer with one.
type accountAnswer struct {
	ETag string `header:"ETag"`
	Body Account
}

func describeAccount(of *tokens.Account) Account {
	return Account{of.Name, of.Zone, of.Credit, second(of.CreatedAt)}
}

// etag is that of what of an account a PATCH can change.
func (v Account) etag() string {
	v.Credit = 0
	return etagOf(v)
}

func answerAccount(of *tokens.Account) *accountAnswer {
	v := describeAccount(of)
	return &accountAnswer{v.etag(), v}
}

func (a *api) listAccounts(ctx context.Context, by *caller, in *Listing) (*page[Account], error) {
	only, err := by.reach("")
	if err != nil {
		return nil, err
	}
	list, err := a.Accounts.AccountsPage(ctx, only, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return newPage(list, in, describeAccount, (*tokens.Account).Position), nil
}

// AccountName names an account in a path.
type AccountName struct {
	Name string `path:"name" maxLength:"128" doc:"Name of the account."`
}

func (a *api) getAccount(ctx context.Context, by *caller, in *AccountName) (*accountAnswer, error) {
	if !by.sees(in.Name) {
		return nil, notFound("account")
	}
	account, err := a.Accounts.Account(ctx, in.Name)
	if err != nil {
		return nil, named(err, "account")
	}
	return answerAccount(account), nil
}

type createAccountInput struct{ Body newAccount }

// newAccount is an account that is to be made. It begins without credit.
type newAccount struct {
	Name string `json:"name" minLength:"1" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit"`
	Zone string `json:"zone,omitempty" minLength:"1" maxLength:"64" format:"time-zone" doc:"Time zone that its days begin in. Left out: as configured." example:"Europe/Berlin"`
}

// Resolve says what is wrong beyond the types.
func (in *createAccountInput) Resolve(huma.Context) []error { return faultyZone(in.Body.Zone) }

// faultyZone refuses a time zone that nobody knows. Local is that of the machine.
func faultyZone(zone string) []error {
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		return []error{wrong("body.zone", "is unknown: the IANA name of a time zone such as Europe/Berlin is needed")}
	}
	return nil
}

func (a *api) createAccount(ctx context.Context, _ *caller, in *createAccountInput) (*accountAnswer, error) {
	account := &tokens.Account{Name: in.Body.Name, Zone: in.Body.Zone, CreatedAt: a.Now()}
	switch err := a.Accounts.CreateAccount(ctx, account); {
	case errors.Is(err, tokens.ErrExists):
		return nil, conflict("there is an account of that name")
	case err != nil:
		return nil, fmt.Errorf("make an account: %w", err)
	}
	a.follow(ctx)
	return answerAccount(account), nil
}

type updateAccountInput struct {
	AccountName
	Matching
	Body accountChange
}

// accountChange is what is to become of an account. What is left out stays.
type accountChange struct {
	Zone change[string] `json:"zone,omitzero" minLength:"1" maxLength:"64" format:"time-zone" doc:"Time zone that its days begin in; null: as configured." example:"Europe/Berlin"`

	Name   fixed `json:"name,omitzero" hidden:"true"`
	Credit fixed `json:"credit,omitzero" hidden:"true"`
}

// Resolve says what is wrong beyond the types.
func (in *updateAccountInput) Resolve(huma.Context) []error {
	faults := faultyFixed("is fixed when the account is made: only zone can be changed", map[string]fixed{"name": in.Body.Name})
	faults = append(faults, faultyFixed("is the sum of all credits: POST /wallet/credits gives one", map[string]fixed{"credit": in.Body.Credit})...)
	return append(faults, faultyZone(in.Body.Zone.Value)...)
}

func (a *api) updateAccount(ctx context.Context, by *caller, in *updateAccountInput) (*accountAnswer, error) {
	if !by.sees(in.Name) {
		return nil, notFound("account")
	}
	account, err := a.Accounts.EditAccount(ctx, in.Name, func(account *tokens.Account) error {
		if err := in.Matching.require(describeAccount(account).etag()); err != nil {
			return err
		}
		in.Body.Zone.apply(&account.Zone)
		return nil
	})
	if err != nil {
		return nil, named(err, "account")
	}
	a.follow(ctx)
	return answerAccount(account), nil
}
