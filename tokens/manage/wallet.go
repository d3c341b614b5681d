package manage

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Purse is where the money of accounts is.
type Purse interface {
	Account(ctx context.Context, name string) (*tokens.Account, error)
	// ListCredits returns credits, the newest first, after one (nil: from the newest).
	ListCredits(ctx context.Context, account string, after *tokens.Credit, limit int) ([]*tokens.Credit, error)
	// AddCredit stores a credit once: ErrExists, ErrCredit.
	AddCredit(ctx context.Context, c *tokens.Credit) (*tokens.Account, error)
	// Spent returns what is known to be spent from an account's wallet, and how much of
	// the rest processes have reserved.
	Spent(ctx context.Context, account string) (spent, reserved quota.Micros, err error)
	// Lines returns what was spent, by hour, the newest first, after a line (nil: from the
	// newest).
	Lines(ctx context.Context, account string, after *quota.Line, limit int) ([]quota.Line, error)
}

// wallet is an account's wallet (row O4).
type wallet struct {
	Account      string              `json:"account"`
	Credit       quota.Micros        `json:"credit" doc:"What is left: the sum of all transactions." example:"39.02"`
	Reserved     quota.Micros        `json:"reserved" doc:"How much of it processes hold to spend it; it may be spent already."`
	Currency     string              `json:"currency" example:"EUR"`
	Transactions pageOf[transaction] `json:"transactions" doc:"The newest first. All of them together are the credit."`
}

// transaction is one line of a wallet.
type transaction struct {
	At     time.Time    `json:"at" doc:"When it was; of usage, the hour's beginning."`
	Kind   string       `json:"kind" enum:"credit,correction,usage"`
	ID     string       `json:"id,omitempty" doc:"Of a credit."`
	What   string       `json:"what,omitempty" doc:"Of a credit: the text it was given. Of usage: the route."`
	Count  int64        `json:"count,omitempty" doc:"Of usage: how many requests."`
	Price  quota.Micros `json:"price,omitempty" doc:"Of usage: of one request."`
	Amount quota.Micros `json:"amount" doc:"What it adds to the credit; usage is negative." example:"-0.40"`
}

type walletInput struct {
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most transactions to be answered."`
	Cursor  string `query:"cursor" maxLength:"1024" doc:"next_cursor of the page before. Left out: from the newest."`
	Account string `query:"account" maxLength:"128" doc:"Account that it is of. Left out: the caller's."`

	after walletCursor
}

// Resolve reads the cursor.
func (in *walletInput) Resolve(huma.Context) []error {
	if in.Cursor != "" && in.after.read(in.Cursor) != nil {
		return []error{wrong("query.cursor", badCursor)}
	}
	return nil
}

type walletAnswer struct{ Body wallet }

func (a *api) getWallet(ctx context.Context, by *caller, in *walletInput) (*walletAnswer, error) {
	name, err := by.own(in.Account)
	if err != nil {
		return nil, err
	}
	account, err := a.Purse.Account(ctx, name)
	if errors.Is(err, tokens.ErrNotFound) {
		return nil, notFound("account")
	}
	if err != nil {
		return nil, err
	}
	spent, reserved, err := a.Purse.Spent(ctx, name)
	if err != nil {
		return nil, err
	}
	w := wallet{Account: name, Credit: account.Credit - spent, Reserved: reserved, Currency: a.Settings().Currency}
	w.Transactions, err = a.transactions(ctx, name, in.after, in.Limit)
	return &walletAnswer{w}, err
}

// transactions merges credits and usage by time.
func (a *api) transactions(ctx context.Context, account string, at walletCursor, limit int) (p pageOf[transaction], err error) {
	p.Data = []transaction{}
	credits, err := a.Purse.ListCredits(ctx, account, at.credit(account), limit+1)
	if err != nil {
		return p, err
	}
	lines, err := a.Purse.Lines(ctx, account, at.line(account), limit+1)
	if err != nil {
		return p, err
	}
	for len(credits)+len(lines) > 0 {
		if len(p.Data) == limit {
			next := at.write()
			p.NextCursor = &next
			return p, nil
		}
		if len(lines) == 0 || len(credits) > 0 && !credits[0].At.Before(time.Unix(lines[0].Hour, 0)) {
			p.Data = append(p.Data, creditTransaction(credits[0]))
			at.CreditAt, at.CreditID = credits[0].At.UnixMicro(), credits[0].ID
			credits = credits[1:]
			continue
		}
		l := &lines[0]
		p.Data = append(p.Data, transaction{
			At: time.Unix(l.Hour, 0).UTC(), Kind: "usage", What: l.What, Count: l.Count, Price: quota.Micros(l.Price), Amount: -quota.Micros(l.Spent),
		})
		at.Hour, at.What, at.Price = l.Hour, l.What, l.Price
		lines = lines[1:]
	}
	return p, nil
}

func creditTransaction(c *tokens.Credit) transaction {
	t := transaction{At: second(c.At), Kind: "credit", ID: c.ID, What: c.What, Amount: c.Amount}
	if c.Amount < 0 {
		t.Kind = "correction"
	}
	return t
}

// walletCursor is a place in both lists that transactions are merged from.
type walletCursor struct {
	CreditAt int64  `json:"c,omitempty"` // microseconds since 1970; 0: before the newest credit
	CreditID string `json:"i,omitempty"`
	Hour     int64  `json:"h,omitempty"` // seconds since 1970; 0: before the newest line
	What     string `json:"w,omitempty"`
	Price    int64  `json:"p,omitempty"`
}

func (c *walletCursor) credit(account string) *tokens.Credit {
	if c.CreditAt == 0 {
		return nil
	}
	return &tokens.Credit{Account: account, ID: c.CreditID, At: time.UnixMicro(c.CreditAt)}
}

func (c *walletCursor) line(account string) *quota.Line {
	if c.Hour == 0 {
		return nil
	}
	return &quota.Line{Account: account, Hour: c.Hour, What: c.What, Price: c.Price}
}

func (c *walletCursor) write() string {
	text, err := json.Marshal(c)
	if err != nil { // a struct of numbers and texts
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

var errCursor = errors.New("no cursor of a wallet")

func (c *walletCursor) read(text string) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, c)
	}
	if err != nil || c.write() != text || c.CreditAt < 0 || c.Hour < 0 || *c == (walletCursor{}) {
		return errCursor
	}
	return nil
}

// newCredit is money that is put into a wallet.
type newCredit struct {
	Account string   `json:"account,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit" doc:"Account that it is for. Left out: the caller's."`
	Amount  credited `json:"amount" doc:"Negative: a correction."`
	What    string   `json:"what,omitempty" maxLength:"200" format:"name" doc:"For people."`
	ID      string   `json:"id,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" doc:"The same one pays once. Left out: Idempotency-Key, or one that is made up."`
}

type createCreditInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" doc:"Whoever does not know whether it was done says the same again with the same key: it is done once."`
	Body newCredit
}

// Resolve says what is wrong beyond the types.
func (in *createCreditInput) Resolve(huma.Context) (faults []error) {
	if in.Key != "" && in.Body.ID != "" && in.Key != in.Body.ID {
		faults = append(faults, wrong("body.id", "is not the Idempotency-Key that is sent beside it"))
	}
	return append(faults, faultyName("body.what", in.Body.What, false)...)
}

// credit is one that was given.
type credit struct {
	Account  string       `json:"account"`
	ID       string       `json:"id"`
	Amount   quota.Micros `json:"amount"`
	What     string       `json:"what,omitempty"`
	Credits  quota.Micros `json:"credits" doc:"All credits of the account, with this one."`
	Currency string       `json:"currency"`
}

type creditAnswer struct{ Body credit }

func (a *api) createCredit(ctx context.Context, by *caller, in *createCreditInput) (*creditAnswer, error) {
	name, err := by.own(in.Body.Account)
	if err != nil {
		return nil, err
	}
	c := &tokens.Credit{Account: name, ID: in.Body.ID, Amount: quota.Micros(in.Body.Amount.someMoney), What: in.Body.What, At: a.Now()}
	if c.ID == "" {
		c.ID = in.Key
	}
	if c.ID == "" {
		c.ID = rand.Text()
	}
	account, err := a.Purse.AddCredit(ctx, c)
	switch {
	case errors.Is(err, tokens.ErrNotFound):
		return nil, notFound("account")
	case errors.Is(err, tokens.ErrExists):
		return nil, conflict("a credit of that id was given, of another amount or text: take another id for another credit")
	case errors.Is(err, tokens.ErrCredit):
		return nil, conflict(tokens.ErrCredit.Error())
	case err != nil:
		return nil, fmt.Errorf("give a credit: %w", err)
	}
	a.follow(ctx)
	return &creditAnswer{credit{name, c.ID, c.Amount, c.What, account.Credit, a.Settings().Currency}}, nil
}
