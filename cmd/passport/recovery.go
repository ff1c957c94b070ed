package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
)

// recoveryCommand is `passport recovery`: people who have lost all of an account's mail, and ask the operator.
func recoveryCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Requests of people who can read none of an account's mail",
		Long: `Requests of people who can read none of an account's mail.

For seven days the account's own addresses are told, three times, and can stop a request; so does a sign-in with the
password. You see whether what was said of the account is right, never what was said. While one is open for an account
others join it: approve whichever is right, and it takes the place of the first. A request that nobody decides ends after
30 days.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(recoveryListCommand(open), recoveryShowCommand(open),
		recoveryVerb(open, "approve", "Mail a link by which the account becomes theirs; not before the seven days are over", (*account.Directory).Approve),
		recoveryVerb(open, "deny", "Tell them that nothing came of it", (*account.Directory).Deny))
	return cmd
}

func recoveryListCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the requests, the oldest first",
		Example: "  passport recovery list\n  passport recovery list --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			list, err := a.accounts.Requests(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				docs := make([]map[string]any, 0, len(list))
				for _, r := range list {
					docs = append(docs, requestDocument(r, ""))
				}
				return writeJSON(cmd.OutOrStdout(), docs)
			}
			return printTable(cmd.OutOrStdout(), "ID\tACCOUNT\tSTATE\tBIRTH DATE\tPHONE\tANSWER\tSITES\tSINCE", func(w io.Writer) {
				for _, r := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.AccountID, r.State, said(r.Birthdate), said(r.Phone),
						said(r.Answer), sitesSaid(r), moment(r.OpenedAt))
				}
			})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func recoveryShowCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a request, and what they wrote to you",
		Example: "  passport recovery show 01890a5d-ac96-774b-bcce-b302099a8057",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			r, note, err := a.accounts.Request(cmd.Context(), args[0])
			if err != nil {
				return requestError(args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), requestDocument(r, note))
			}
			return printRequest(cmd.OutOrStdout(), r, note)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// recoveryVerb makes a subcommand that decides a request.
func recoveryVerb(open openFunc, verb, short string, act func(*account.Directory, context.Context, string) (account.Request, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     verb + " ID",
		Short:   short,
		Example: fmt.Sprintf("  passport recovery %s 01890a5d-ac96-774b-bcce-b302099a8057\n  passport recovery %s 01890a5d-ac96-774b-bcce-b302099a8057 --json", verb, verb),
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			r, err := act(a.accounts, cmd.Context(), args[0])
			if err != nil {
				return requestError(args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), requestDocument(r, ""))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", r.ID, r.State)
			return err
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func requestError(id string, err error) error {
	switch {
	case errors.Is(err, account.ErrNotFound):
		return fmt.Errorf("there is no request %q", id)
	case errors.Is(err, account.ErrDecided):
		return fmt.Errorf("the request %q is not open any more", id)
	case errors.Is(err, account.ErrEarly):
		return fmt.Errorf("the request %q is not %d days old, or not all notices went out: the account's own addresses have their time first", id, account.RequestWait/(24*time.Hour))
	case errors.Is(err, account.ErrTaken):
		return fmt.Errorf("the address of the request %q belongs to another account", id)
	case errors.Is(err, account.ErrDomain):
		return fmt.Errorf("the domain of the request's address (%q) may not be used any more: signup_allow_domains, signup_deny_domains, signup_deny_disposable", id)
	}
	return err
}

func said(result string) string {
	if result == "" {
		return "-"
	}
	return result
}

func sitesSaid(r account.Request) string {
	if r.Sites == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d match", r.SitesRight, r.Sites)
}

func requestDocument(r account.Request, note string) map[string]any {
	doc := map[string]any{"id": r.ID, "account": r.AccountID, "state": r.State, "email": r.Email, "birthdate": r.Birthdate, "phone": r.Phone,
		"answer": r.Answer, "sites": r.Sites, "sites_matching": r.SitesRight, "others": r.Others, "notices": r.Notices,
		"opened_at": r.OpenedAt, "approve_from": r.OpenedAt.Add(account.RequestWait)}
	if note != "" {
		doc["note"] = note
	}
	if !r.DecidedAt.IsZero() {
		doc["decided_at"] = r.DecidedAt.UTC().Format(time.RFC3339)
	}
	return doc
}

func printRequest(out io.Writer, r account.Request, note string) error {
	return printTable(out, "id\t"+r.ID, func(w io.Writer) {
		for _, line := range [][2]string{
			{"account", r.AccountID}, {"state", r.State}, {"reach them at", r.Email}, {"birth date", said(r.Birthdate)}, {"phone", said(r.Phone)},
			{"answer", said(r.Answer)}, {"sites", sitesSaid(r)}, {"others who asked", fmt.Sprint(r.Others)},
			{"notices", fmt.Sprintf("%d of %d", r.Notices, account.RequestNotices)}, {"since", moment(r.OpenedAt)}, {"approve from", moment(r.OpenedAt.Add(account.RequestWait))},
			{"decided", moment(r.DecidedAt)}, {"they write", fmt.Sprintf("%q", note)},
		} {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	})
}
