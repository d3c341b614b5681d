package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// walletView is an account's wallet. The amounts of its transactions add up to what is
// available.
type walletView struct {
	Account      string            `json:"account"`
	Currency     string            `json:"currency"`
	Credit       quota.Micros      `json:"credit"` // all credits
	Spent        quota.Micros      `json:"spent"`
	Reserved     quota.Micros      `json:"reserved"`
	ReservedLost quota.Micros      `json:"reserved_lost"` // of Reserved: by processes that were lost
	Available    quota.Micros      `json:"available"`
	Transactions []transactionView `json:"transactions"`
}

// transactionView is one line of a wallet.
type transactionView struct {
	At     string       `json:"at,omitempty"` // of usage: the hour's beginning
	Kind   string       `json:"kind"`         // credit, correction, usage, reserved, reserved_lost, earlier, unlisted
	ID     string       `json:"id,omitempty"` // of a credit
	What   string       `json:"what,omitempty"`
	Count  int64        `json:"count,omitempty"` // of requests
	Price  quota.Micros `json:"price,omitempty"`
	Amount quota.Micros `json:"amount"`

	at time.Time
}

// readWallet reads a wallet with its newest transactions.
func readWallet(ctx context.Context, db *sqlite.DB, name string, limit int) (*walletView, error) {
	ledger := db.Ledger()
	for try := 1; ; try++ {
		account, err := db.Account(ctx, name)
		if err != nil {
			return nil, err
		}
		credits, err := db.ListCredits(ctx, name, nil, limit)
		if err != nil {
			return nil, err
		}
		lines, listed, err := readLines(ctx, ledger, name, limit)
		if err != nil {
			return nil, err
		}
		cell := quota.CellID{Limit: authz.WalletCharge(name, account).ID}
		usages, err := ledger.Usage(ctx, []quota.CellID{cell})
		if err != nil {
			return nil, err
		}
		again, err := db.Account(ctx, name)
		if err != nil {
			return nil, err
		}
		// What is credited or told to be spent between two of these questions makes the
		// sums differ.
		if int64(listed) == usages[0].Spent && again.CreditRev == account.CreditRev || try == 5 {
			return newWallet(account, usages[0], credits, lines, listed, limit), nil
		}
	}
}

// readLines returns the newest lines of what was spent, and the sum of all lines.
func readLines(ctx context.Context, ledger quota.Ledger, account string, limit int) (newest []quota.Line, sum quota.Micros, err error) {
	const page = 500
	var after *quota.Line
	for {
		lines, err := ledger.Lines(ctx, account, after, page)
		if err != nil {
			return nil, 0, err
		}
		for _, l := range lines {
			sum += quota.Micros(l.Spent)
		}
		newest = append(newest, lines[:min(len(lines), limit-len(newest))]...)
		if len(lines) < page {
			return newest, sum, nil
		}
		after = &lines[page-1]
	}
}

// newWallet puts together what was read: listed is the sum of all lines, of which lines
// are the newest.
func newWallet(account *tokens.Account, u quota.Usage, credits []*tokens.Credit, lines []quota.Line, listed quota.Micros, limit int) *walletView {
	w := &walletView{
		Account: account.Name, Credit: account.Credit, Spent: quota.Micros(u.Spent), Reserved: quota.Micros(u.Leased), ReservedLost: quota.Micros(u.Stranded),
		Transactions: []transactionView{},
	}
	w.Available = w.Credit - w.Spent - w.Reserved
	var list []transactionView
	for _, c := range credits {
		t := transactionView{Kind: "credit", ID: c.ID, What: c.What, Amount: c.Amount, at: c.At}
		if c.Amount < 0 {
			t.Kind = "correction"
		}
		list = append(list, t)
	}
	for _, l := range lines {
		list = append(list, transactionView{Kind: "usage", What: l.What, Count: l.Count, Price: quota.Micros(l.Price), Amount: -quota.Micros(l.Spent), at: time.Unix(l.Hour, 0)})
	}
	slices.SortStableFunc(list, func(a, b transactionView) int { return b.at.Compare(a.at) })
	list = list[:min(limit, len(list))]
	earlier := w.Credit - listed
	for i := range list {
		list[i].At = stamp(list[i].at)
		earlier -= list[i].Amount
	}
	add := func(t transactionView) {
		if t.Amount != 0 {
			w.Transactions = append(w.Transactions, t)
		}
	}
	add(transactionView{Kind: "reserved", Amount: w.ReservedLost - w.Reserved})
	add(transactionView{Kind: "reserved_lost", What: "by processes that were lost", Amount: -w.ReservedLost})
	add(transactionView{Kind: "unlisted", What: "spent, and in no line", Amount: listed - w.Spent})
	w.Transactions = append(w.Transactions, list...)
	add(transactionView{Kind: "earlier", Amount: earlier})
	return w
}

// transactionTable shows transactions.
var transactionTable = table[transactionView]{
	"AT\tKIND\tWHAT\tCOUNT\tPRICE\tAMOUNT\tID",
	func(v transactionView) []string {
		count, price := "-", "-"
		if v.Kind == "usage" {
			count, price = strconv.FormatInt(v.Count, 10), v.Price.String()
		}
		return []string{cmp.Or(v.At, "-"), v.Kind, cmp.Or(v.What, "-"), count, price, v.Amount.String(), cmp.Or(v.ID, "-")}
	},
}

func (a *app) printWallet(w *walletView) error {
	lost := ""
	if w.ReservedLost != 0 {
		lost = fmt.Sprintf(", of which %s by processes that were lost", w.ReservedLost)
	}
	a.printf("account    %s\ncredit     %s %s\nspent      %s\nreserved   %s%s\navailable  %s\n\n", w.Account, w.Credit, w.Currency, w.Spent, w.Reserved, lost, w.Available)
	return transactionTable.print(a, w.Transactions)
}
