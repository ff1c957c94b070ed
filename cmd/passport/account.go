package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
)

// accountCommand is `passport account`: people, as the operator sees them.
func accountCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "People: create, show, change, disable, delete",
		Long: `People: create, show, change, disable, delete.

An account is named by its e-mail address, its id, or its sub (what sites know it by).`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(accountCreateCommand(open), accountSetCommand(open),
		accountVerb(open, "show", "Show an account", "",
			func(cmd *cobra.Command, d *account.Directory, ref string) (*account.Account, error) {
				return d.Show(cmd.Context(), ref)
			}),
		accountVerb(open, "disable", "Lock an account: its sessions and grants end, nobody can sign in to it", "disabled",
			func(cmd *cobra.Command, d *account.Directory, ref string) (*account.Account, error) {
				return d.Disable(cmd.Context(), ref)
			}),
		accountVerb(open, "enable", "Unlock a disabled account; what was ended stays ended", "enabled",
			func(cmd *cobra.Command, d *account.Directory, ref string) (*account.Account, error) {
				return d.Enable(cmd.Context(), ref)
			}),
		accountVerb(open, "end-sessions", "Sign an account out everywhere", "sessions ended",
			func(cmd *cobra.Command, d *account.Directory, ref string) (*account.Account, error) {
				return d.EndSessions(cmd.Context(), ref)
			}),
		accountVerb(open, "delete", "Delete an account and everything of it; the event log keeps its id", "deleted",
			func(cmd *cobra.Command, d *account.Directory, ref string) (*account.Account, error) {
				return d.Delete(cmd.Context(), ref)
			}))
	return cmd
}

func accountCreateCommand(open openFunc) *cobra.Command {
	var n account.NewAccount
	var passwordFile, claimsFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create --email ADDRESS",
		Short: "Make an account",
		Long: `Make an account.

With --confirmed you vouch for the address, and the account can be used at once. Without it the two links go
out by mail, as after a registration; a running server sends them. The claims file is a JSON object of
standard claims (OpenID Connect Core 5.1), such as {"given_name": "Alice", "zoneinfo": "Europe/Madrid"}.`,
		Example: `  passport account create --email alice@example.com --password-file password.txt --confirmed
  passport account create --email alice@example.com --name "Alice Example" --claims claims.json --json
  pwgen 20 1 | passport account create --email alice@example.com --password-file - --confirmed`,
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) (err error) {
			if passwordFile != "" {
				if n.Password, err = readSecret(cmd, "password", passwordFile); err != nil {
					return err
				}
			}
			if n.Claims, err = readClaims(cmd, claimsFile); err != nil {
				return err
			}
			made, err := a.accounts.Create(cmd.Context(), n)
			if err != nil {
				return accountError(n.Email, err)
			}
			return printAccount(cmd.OutOrStdout(), made, "created", asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&n.Email, "email", "", "the e-mail address")
	f.StringVar(&passwordFile, "password-file", "", "a file that holds the password (- for the standard input); without one nobody can sign in by password")
	f.StringVar(&n.Name, "name", "", "the person's name")
	f.StringVar(&n.Language, "language", "en", "the language of mails to the person")
	f.StringVar(&claimsFile, "claims", "", "a file with a JSON object of standard claims (- for the standard input)")
	f.BoolVar(&n.Confirmed, "confirmed", false, "the address is known to be the person's")
	jsonFlag(cmd, &asJSON)
	// The one failure, an unknown flag, cannot happen.
	_ = cmd.MarkFlagRequired("email")
	return cmd
}

func accountSetCommand(open openFunc) *cobra.Command {
	var name, language, passwordFile, claimsFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set ACCOUNT",
		Short: "Change an account",
		Long: `Change an account: what a flag names, and nothing else.

A new password ends all sessions and grants. --claims replaces all claims.`,
		Example: `  passport account set alice@example.com --name "Alice Example"
  passport account set alice@example.com --password-file password.txt
  passport account set alice@example.com --claims claims.json --json`,
		Args: cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) (err error) {
			var c account.Change
			if cmd.Flags().Changed("name") {
				c.Name = &name
			}
			if cmd.Flags().Changed("language") {
				c.Language = &language
			}
			if passwordFile != "" {
				password, err := readSecret(cmd, "password", passwordFile)
				if err != nil {
					return err
				}
				c.Password = &password
			}
			if c.Claims, err = readClaims(cmd, claimsFile); err != nil {
				return err
			}
			changed, err := a.accounts.Set(cmd.Context(), args[0], c)
			if err != nil {
				return accountError(args[0], err)
			}
			return printAccount(cmd.OutOrStdout(), changed, "changed", asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "the person's name")
	f.StringVar(&language, "language", "", "the language of mails to the person")
	f.StringVar(&passwordFile, "password-file", "", "a file that holds the new password (- for the standard input)")
	f.StringVar(&claimsFile, "claims", "", "a file with a JSON object of standard claims (- for the standard input)")
	jsonFlag(cmd, &asJSON)
	cmd.MarkFlagsOneRequired("name", "language", "password-file", "claims")
	return cmd
}

// accountVerb makes a subcommand that takes one account and nothing else.
func accountVerb(open openFunc, verb, short, done string,
	act func(*cobra.Command, *account.Directory, string) (*account.Account, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     verb + " ACCOUNT",
		Short:   short,
		Example: fmt.Sprintf("  passport account %s alice@example.com\n  passport account %s alice@example.com --json", verb, verb),
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			found, err := act(cmd, a.accounts, args[0])
			if err != nil {
				return accountError(args[0], err)
			}
			return printAccount(cmd.OutOrStdout(), found, done, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// accountWords say to an operator what the pages say to people by their message keys.
var accountWords = map[string]string{
	"error.email.invalid":       "this is no e-mail address that Passport takes (name@host.domain, no comments, no quotes)",
	"error.email.domain":        "addresses of this domain may not be used (signup_allow_domains, signup_deny_domains, signup_deny_disposable)",
	"error.name.characters":     "the name has characters that cannot be shown safely",
	"error.name.link":           "the name looks like a link or an address",
	"error.name.long":           "the name has more than 100 characters",
	"error.password.short":      "the password has fewer than 8 characters",
	"error.password.long":       "the password has more than 128 characters",
	"error.password.characters": "the password has a NUL or is no UTF-8 text",
	"error.password.common":     "the password is too easy to guess",
	"error.password.weak":       "the password is too easy to guess (password_strength)",
	"error.password.personal":   "it has the name, the address or the brand in it",
	"error.password.word":       "it is made of words that many use",
	"error.password.keys":       "it has keys in a row",
	"error.password.repeat":     "it repeats itself",
	"error.password.sequence":   "it has letters or digits in order",
	"error.password.date":       "it has a date in it",
	"error.password.breached":   "others have lost this very password (password_breach_check)",
	"error.claims.invalid":      "the claims are no JSON object of standard claims (OpenID Connect Core 5.1) with values of the right kinds; sub, email, email_verified and updated_at are the server's",
}

func accountError(ref string, err error) error {
	var field *account.FieldError
	switch {
	case errors.As(err, &field):
		var said []string
		for key := range strings.FieldsSeq(field.Key) {
			if words := accountWords[key]; words != "" {
				said = append(said, words)
			}
		}
		if len(said) > 0 {
			return errors.New(strings.Join(said, ": "))
		}
	case errors.Is(err, account.ErrNotFound):
		return fmt.Errorf("there is no account %q", ref)
	case errors.Is(err, account.ErrTaken):
		return fmt.Errorf("%q belongs to an account already", ref)
	}
	return err
}

// readSecret reads a password or a client secret; one line end behind it is not part of it.
func readSecret(cmd *cobra.Command, what, file string) (string, error) {
	b, err := readSmall(cmd, file)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("the %s file is empty", what)
	}
	return secret, nil
}

func readClaims(cmd *cobra.Command, file string) (json.RawMessage, error) {
	if file == "" {
		return nil, nil
	}
	b, err := readSmall(cmd, file)
	if err != nil {
		return nil, fmt.Errorf("read the claims: %w", err)
	}
	if len(b) == 0 {
		return nil, errors.New("the claims file is empty")
	}
	return b, nil
}

func readSmall(cmd *cobra.Command, file string) ([]byte, error) {
	const most = 64 << 10
	var in io.Reader = cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && len(b) > most {
		err = errors.New("more than 64 KiB")
	}
	return b, err
}

func printAccount(out io.Writer, a *account.Account, done string, asJSON bool) error {
	if asJSON {
		return writeJSON(out, a)
	}
	if done != "" {
		if _, err := fmt.Fprintf(out, "%s (%s): %s\n", a.Email, a.ID, done); err != nil {
			return err
		}
		if done != "created" && done != "changed" {
			return nil
		}
	}
	confirmed := "no, until " + moment(a.ExpiresAt)
	if a.Confirmed {
		confirmed = "yes"
	}
	password := "no"
	if a.Password {
		password = "yes"
	}
	accepted := moment(a.TermsAt)
	if a.Terms+a.Privacy != "" {
		accepted += fmt.Sprintf(" (terms %q, privacy %q)", a.Terms, a.Privacy)
	}
	return printTable(out, "id\t"+a.ID, func(w io.Writer) {
		for _, line := range [][2]string{
			{"sub", a.Sub}, {"state", a.State}, {"email", a.Email}, {"confirmed", confirmed}, {"name", a.Name},
			{"language", a.Language}, {"claims", string(a.Claims)}, {"password", password},
			{"created", moment(a.CreatedAt)}, {"updated", moment(a.UpdatedAt)}, {"disabled", moment(a.DisabledAt)}, {"accepted", accepted},
		} {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	})
}
