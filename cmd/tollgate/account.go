package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) accountCommand() *cobra.Command {
	return group("account", "Create and list accounts", a.accountCreate(), a.accountList())
}

// accountView is an account as commands print it.
type accountView struct {
	Name      string       `json:"name"`
	Zone      string       `json:"zone,omitempty"`
	Credit    quota.Micros `json:"credit"` // all credits; wallet show tells what is left of it
	CreatedAt string       `json:"created_at"`
}

func describeAccount(account *tokens.Account) accountView {
	return accountView{account.Name, account.Zone, account.Credit, account.CreatedAt.UTC().Format(time.RFC3339)}
}

func (a *app) accountCreate() *cobra.Command {
	var account tokens.Account
	c := a.outputFlag(&cobra.Command{
		Use: "create --name NAME", Short: "Create an account", Args: cobra.MaximumNArgs(1),
		Long: `Create an account: whose limits and time zone count. Clients and API keys of an
account that does not exist make one with the configuration's time zone.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && account.Name == "" {
				account.Name = args[0]
			}
			if err := errors.Join(account.Validate()...); err != nil {
				return usageError{err}
			}
			c, err := a.loadConfig()
			if err != nil {
				return err
			}
			return withStoreOf(cmd.Context(), c, func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				account.CreatedAt = time.Now()
				if err := db.CreateAccount(cmd.Context(), &account); err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(describeAccount(&account))
				}
				a.printf("created the account %s\n", account.Name)
				return nil
			})
		},
	})
	c.Flags().StringVar(&account.Name, "name", "", "`NAME` of the account")
	c.Flags().StringVar(&account.Zone, "zone", "", "time `ZONE` in which its days begin, such as Europe/Berlin (default: accounts.default_zone)")
	return c
}

func (a *app) accountList() *cobra.Command {
	return listing(a, "List the accounts", (*sqlite.DB).ListAccounts, describeAccount, table[accountView]{
		"NAME\tZONE\tCREDIT\tCREATED", func(v accountView) []string { return []string{v.Name, v.Zone, v.Credit.String(), v.CreatedAt} },
	})
}
