package main

import (
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/storage"
)

func devCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "What those need who develop or size an installation",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(fillCommand(open))
	return cmd
}

// filling is what the flags of fill say.
type filling struct {
	accounts, grants int64
	clients          int
	passwordFile     string
}

func fillCommand(open openFunc) *cobra.Command {
	var f filling
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fill",
		Short: "Make a database large, to see how fast it is then",
		Long: `Make a database large, to see how fast it is then: accounts person1@` + storage.FilledDomain + `, person2@` + storage.FilledDomain + ` …, each with
a browser that is signed in, and grants of theirs at clients fill-0, fill-1 …, every tenth with an access token.

It goes on where an earlier call ended: the numbers are those that there are in the end, with what was deleted since; printed are those
that there really are. All have the password of the first call: another one is refused. A server may run beside it. A database with
accounts of people is refused.`,
		Example: "  passport dev fill --accounts 1000000 --grants 10000000 --password-file password\n" +
			"  passport dev fill --accounts 1000 --grants 5000 --json",
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			there, err := a.fill(cmd, f)
			if err != nil {
				return fmt.Errorf("fill: %w", err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), there)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d accounts, %d grants at %d clients.\n", there.Accounts, there.Grants, there.Clients)
			return err
		}),
	}
	flags := cmd.Flags()
	flags.Int64Var(&f.accounts, "accounts", 10_000, "how many accounts there are in the end")
	flags.Int64Var(&f.grants, "grants", 100_000, "how many grants")
	flags.IntVar(&f.clients, "clients", 10, "at how many clients")
	flags.StringVar(&f.passwordFile, "password-file", "", "holds the password of all (- for the standard input); without one nobody can sign in")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// check bounds it: a slip of the finger shall not fill the disk.
func (f filling) check() error {
	switch {
	case f.accounts < 1 || f.accounts > 100_000_000:
		return errors.New("--accounts: from 1 to 100000000")
	case f.grants < 0 || f.grants > 1_000_000_000:
		return errors.New("--grants: from 0 to 1000000000")
	case f.clients < 1 || f.clients > 100:
		return errors.New("--clients: from 1 to 100")
	}
	return nil
}

func (a *app) fill(cmd *cobra.Command, f filling) (there storage.Filled, err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := a.store.NoPeople(ctx); err != nil {
		return there, err
	}
	now, err := a.store.Now(ctx)
	if err != nil {
		return there, err
	}
	what := storage.Filling{Accounts: f.accounts, Grants: f.grants, Now: now}
	for i := range f.clients {
		c := client.Client{ID: "fill-" + strconv.Itoa(i), Metadata: client.Metadata{ClientName: "Filled " + strconv.Itoa(i),
			RedirectURIs: []string{"https://passload.invalid/callback"}}}
		if _, _, err := a.clients.Create(ctx, c, ""); err != nil && !errors.Is(err, client.ErrExists) {
			return there, fmt.Errorf("create %s: %w", c.ID, err)
		}
		what.Clients = append(what.Clients, c.ID)
	}
	n := account.NewAccount{Email: "person0@" + storage.FilledDomain, Confirmed: true}
	if f.passwordFile != "" {
		if n.Password, err = readSecret(cmd, "password", f.passwordFile); err != nil {
			return there, err
		}
	}
	_, err = a.accounts.Create(ctx, n)
	taken := errors.Is(err, account.ErrTaken)
	if err != nil && !taken {
		return there, accountError(n.Email, err)
	}
	if taken && n.Password != "" {
		same, err := a.accounts.HasPassword(ctx, n.Email, n.Password)
		if err != nil {
			return there, accountError(n.Email, err)
		}
		if !same { // the next accounts would have the old one all the same: their hash is copied
			return there, errors.New("--password-file: the accounts there have another password, or none")
		}
	}
	first, err := a.accounts.Show(ctx, n.Email)
	if err != nil {
		return there, accountError(n.Email, err)
	}
	what.Like = first.ID
	note, end := progress(cmd, "accounts and grants", func(n int64) string { return strconv.FormatInt(n, 10) })
	defer end()
	return a.store.Fill(ctx, what, note)
}
