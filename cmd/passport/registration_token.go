package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
)

// registrationTokenCommand is `passport client registration-token`: who may register clients over HTTP.
func registrationTokenCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registration-token",
		Short: "Tokens with which clients register themselves",
		Long: `Tokens with which clients register themselves at /connect/register (RFC 7591: initial access tokens).

You vouch for whoever registers with one: such a client is verified. PASSPORT_REGISTRATION says whether
registration takes a token (token, the default), takes none (open), or is not possible at all (off).`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(registrationTokenCreateCommand(open), registrationTokenListCommand(open), registrationTokenRevokeCommand(open))
	return cmd
}

func registrationTokenCreateCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var uses int64
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a registration token, printed once",
		Example: `  passport client registration-token create
  passport client registration-token create --uses 10 --ttl 1h --json
  curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
      -d '{"client_name": "Shop", "redirect_uris": ["https://shop.example/callback"]}' \
      https://passport.example/connect/register`,
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			made, token, err := a.clients.NewRegistrationToken(cmd.Context(), uses, ttl)
			if err != nil {
				return fmt.Errorf("make a registration token: %w", err)
			}
			if asJSON {
				doc := registrationTokenDocument(made)
				doc["token"] = token
				return writeJSON(cmd.OutOrStdout(), doc)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "id:     %s\nuses:   %d\nuntil:  %s\ntoken:  %s\n\nThe token is shown this once.\n",
				made.ID, made.Uses, moment(made.ExpiresAt), token)
			return err
		}),
	}
	cmd.Flags().Int64Var(&uses, "uses", 1, "how many clients may be registered with it")
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long it can be used, as 1h")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func registrationTokenListCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the registration tokens that can still be used",
		Example: "  passport client registration-token list\n  passport client registration-token list --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			list, err := a.clients.RegistrationTokens(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				docs := make([]map[string]any, 0, len(list))
				for _, t := range list {
					docs = append(docs, registrationTokenDocument(t))
				}
				return writeJSON(cmd.OutOrStdout(), docs)
			}
			return printTable(cmd.OutOrStdout(), "ID\tUSES LEFT\tMADE\tUNTIL", func(w io.Writer) {
				for _, t := range list {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", t.ID, t.Uses, moment(t.CreatedAt), moment(t.ExpiresAt))
				}
			})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func registrationTokenRevokeCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a registration token; the clients that came with it stay",
		Example: "  passport client registration-token revoke 01890a5d-ac96-774b-bcce-b302099a8057",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			if err := a.clients.RevokeRegistrationToken(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("revoke the registration token %q: %w", args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"id": args[0], "revoked": true})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked.\n", args[0])
			return err
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func registrationTokenDocument(t client.RegistrationToken) map[string]any {
	return map[string]any{"id": t.ID, "uses": t.Uses, "created_at": t.CreatedAt.UTC(), "expires_at": t.ExpiresAt.UTC()}
}
