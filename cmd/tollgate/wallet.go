package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) walletCommand() *cobra.Command {
	return group("wallet", "Put money into the wallets of accounts and show it", a.walletCredit(), a.walletShow())
}

// creditView is a credit as wallet credit prints it.
type creditView struct {
	Account  string       `json:"account"`
	ID       string       `json:"id"`
	Amount   quota.Micros `json:"amount"`
	What     string       `json:"what,omitempty"`
	Credit   quota.Micros `json:"credit"` // of the account, with this one
	Currency string       `json:"currency"`
}

func (a *app) walletCredit() *cobra.Command {
	var credit tokens.Credit
	var amount string
	c := a.outputFlag(&cobra.Command{
		Use: "credit --account ACCOUNT --amount AMOUNT", Short: "Put money into an account's wallet", Args: cobra.NoArgs,
		Long: `Put money into an account's wallet, in the currency of accounts.currency. A negative
amount is a correction: --amount=-1.50.

Whoever does not know whether it was done says the same again with the same --id: it is
done once.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if amount == "" {
				return usageError{errors.New("--amount is needed, such as 10.00")}
			}
			if err := credit.Amount.UnmarshalText([]byte(amount)); err != nil {
				return usageError{fmt.Errorf("--amount %w", err)}
			}
			if !cmd.Flags().Changed("id") {
				credit.ID = rand.Text()
			}
			credit.At = time.Now()
			if err := errors.Join(credit.Validate()...); err != nil {
				return usageError{err}
			}
			return a.addCredit(cmd.Context(), &credit)
		},
	})
	flags := c.Flags()
	flags.StringVar(&credit.Account, "account", "", "`ACCOUNT`, its name")
	flags.StringVar(&amount, "amount", "", "`AMOUNT` of money, such as 10.00")
	flags.StringVar(&credit.What, "what", "", "`TEXT` for people")
	flags.StringVar(&credit.ID, "id", "", "`ID` of the credit: the same one pays once (default: made at random, and printed)")
	return c
}

func (a *app) addCredit(ctx context.Context, credit *tokens.Credit) error {
	return a.withStore(ctx, func(c *config.Config, _ secrets, db *sqlite.DB) error {
		account, err := db.AddCredit(ctx, credit)
		if err != nil {
			return err
		}
		a.follow(ctx, c)
		if a.wantJSON() {
			return a.printJSON(creditView{account.Name, credit.ID, credit.Amount, credit.What, account.Credit, c.Accounts.Currency})
		}
		a.printf("id:     %s\ncredit: %s %s, with these %s\n", credit.ID, account.Credit, c.Accounts.Currency, credit.Amount)
		return nil
	})
}

func (a *app) walletShow() *cobra.Command {
	var account string
	var limit int
	c := a.outputFlag(&cobra.Command{
		Use: "show --account ACCOUNT", Short: "Show what is in an account's wallet, and the latest transactions", Args: cobra.NoArgs,
		Long: `Show what is in an account's wallet, and the latest transactions. What requests cost is
listed by hour, and known a second after.

Processes reserve a little of the wallet and spend it in memory. What a process that was
lost had reserved stays so, because nobody can know what of it was spent; a credit can
make good for it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case account == "":
				return usageError{errors.New("--account is needed")}
			case limit < 1 || limit > maxTransactions:
				return usageError{fmt.Errorf("--limit %d: a number from 1 to %d is needed", limit, maxTransactions)}
			}
			return a.withStore(cmd.Context(), func(c *config.Config, _ secrets, db *sqlite.DB) error {
				w, err := readWallet(cmd.Context(), db, account, limit)
				if err != nil {
					return err
				}
				w.Currency = c.Accounts.Currency
				if a.wantJSON() {
					return a.printJSON(w)
				}
				return a.printWallet(w)
			})
		},
	})
	c.Flags().StringVar(&account, "account", "", "`ACCOUNT`, its name")
	c.Flags().IntVar(&limit, "limit", 20, "`NUMBER` of transactions")
	return c
}

const maxTransactions = 1000
