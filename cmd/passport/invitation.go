package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
)

// invitationCommand is `passport invitation`: who may register where registration is by invitation.
func invitationCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invitation",
		Short: "Links by which people register, where registration is by invitation",
		Long: `Links by which people register, where registration is by invitation (PASSPORT_SIGNUP=invitation).

A use is held while a registration waits for its confirmation, and spent when it is confirmed; it is free again
when the registration is cancelled, or is not confirmed within three days.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(invitationCreateCommand(open), invitationListCommand(open), invitationRevokeCommand(open))
	return cmd
}

func invitationCreateCommand(open openFunc) *cobra.Command {
	var n account.NewInvitation
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an invitation; its link is printed once",
		Long: `Make an invitation; its link is printed once.

With --email it is for that address alone; with --send the link goes there by mail too (a running server sends it).`,
		Example: `  passport invitation create
  passport invitation create --uses 30 --ttl 48h --json
  passport invitation create --email alice@example.com --send --language es`,
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			made, token, err := a.accounts.Invite(cmd.Context(), n)
			if err != nil {
				return accountError("", err)
			}
			link := a.cfg.Issuer + "/register?" + url.Values{"invitation": {token}}.Encode()
			if !a.accounts.ByInvitation() {
				fmt.Fprintf(cmd.ErrOrStderr(), "signup is %q: the invitation counts for nothing as long as it is.\n", a.cfg.SignUp)
			}
			if asJSON {
				doc := invitationDocument(made)
				doc["link"] = link
				return writeJSON(cmd.OutOrStdout(), doc)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "id:     %s\nfor:    %s\nuses:   %d\nuntil:  %s\nlink:   %s\n\nThe link is shown this once.\n",
				made.ID, invitee(made), made.Uses, moment(made.ExpiresAt), link)
			return err
		}),
	}
	cmd.Flags().StringVar(&n.Email, "email", "", "the one address that it is for")
	cmd.Flags().Int64Var(&n.Uses, "uses", 1, "how many may register with it")
	cmd.Flags().DurationVar(&n.TTL, "ttl", 7*24*time.Hour, "how long it can be used, as 1h")
	cmd.Flags().BoolVar(&n.Send, "send", false, "mail it to the address")
	cmd.Flags().StringVar(&n.Language, "language", "en", "of the mail")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func invitationListCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the invitations that can still be used",
		Example: "  passport invitation list\n  passport invitation list --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			list, err := a.accounts.Invitations(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				docs := make([]map[string]any, 0, len(list))
				for _, i := range list {
					docs = append(docs, invitationDocument(i))
				}
				return writeJSON(cmd.OutOrStdout(), docs)
			}
			return printTable(cmd.OutOrStdout(), "ID\tFOR\tUSES LEFT\tWAITING\tMADE\tUNTIL", func(w io.Writer) {
				for _, i := range list {
					fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", i.ID, invitee(i), i.Uses, i.Waiting, moment(i.CreatedAt), moment(i.ExpiresAt))
				}
			})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func invitationRevokeCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End an invitation, and the registrations with it that wait; accounts that came by it stay",
		Example: "  passport invitation revoke 01890a5d-ac96-774b-bcce-b302099a8057",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			err := a.accounts.RevokeInvitation(cmd.Context(), args[0])
			if errors.Is(err, account.ErrNotFound) {
				return fmt.Errorf("there is no invitation %q", args[0])
			} else if err != nil {
				return fmt.Errorf("revoke the invitation %q: %w", args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"id": args[0], "revoked": true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked.\n", args[0])
			return err
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// invitee is whom an invitation is for.
func invitee(i account.Invitation) string {
	if i.Email == "" {
		return "anybody"
	}
	return i.Email
}

func invitationDocument(i account.Invitation) map[string]any {
	doc := map[string]any{"id": i.ID, "uses": i.Uses, "waiting": i.Waiting, "created_at": i.CreatedAt.UTC(), "expires_at": i.ExpiresAt.UTC()}
	if i.Email != "" {
		doc["email"] = i.Email
	}
	return doc
}
