package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
)

// clientCommand is `passport client`: the sites of the network, registered by the operator.
func clientCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Sites and applications that people sign in at",
		Long: `Sites and applications that people sign in at.

Flags bear the names of RFC 7591 and OpenID Connect Registration, in the singular and with dashes; those of
lists may be repeated. Running servers see every change within two seconds.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(clientCreateCommand(open), clientListCommand(open), clientShowCommand(open), clientSetCommand(open),
		clientRotateCommand(open), clientDisableCommand(open), clientEnableCommand(open), clientDeleteCommand(open),
		registrationTokenCommand(open))
	return cmd
}

func clientCreateCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var id string
	flags := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Register a site",
		Long: `Register a site.

The document of --file is one of RFC 7591: a JSON object with redirect_uris, client_name and so on. It may give
client_id and client_secret; a client_secret given so must be random, of at least 32 characters. Flags stand
over the file. Without either: authorization code with PKCE, client_secret_basic, ID tokens signed with ES256.

The client_secret is printed once. Only its hash is kept, unless HS256 or client_secret_jwt needs itself: then
it is kept sealed.`,
		Example: `  passport client create --name Shop --redirect-uri https://shop.example/callback
  passport client create --name Shop --redirect-uri https://shop.example/callback \
      --grant-type authorization_code --grant-type refresh_token --client-uri https://shop.example/
  passport client create --name "Shop app" --application-type native --token-endpoint-auth-method none \
      --redirect-uri com.example.shop:/callback
  passport client create --file client.json --json`,
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			c, secret, err := flags.newClient(cmd, id)
			if err != nil {
				return err
			}
			created, shown, err := a.clients.Create(cmd.Context(), c, secret)
			if err != nil {
				return fmt.Errorf("register the client: %w", err)
			}
			return printClient(cmd.OutOrStdout(), created, shown, asJSON)
		}),
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&id, "client-id", "", "the client_id (default: a random one)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientListCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the sites",
		Example: "  passport client list\n  passport client list --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			all, err := allClients(cmd.Context(), a.clients)
			if err != nil {
				return err
			}
			return printClients(cmd.OutOrStdout(), all, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// allClients reads every client, a page after the other.
func allClients(ctx context.Context, clients *client.Registry) (all []*client.Client, err error) {
	for after := ""; ; {
		page, err := clients.List(ctx, after, 0)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, after = append(all, page...), page[len(page)-1].ID
	}
}

func clientShowCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show CLIENT_ID",
		Short:   "Show a site's registration",
		Example: "  passport client show shop\n  passport client show shop --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			c, err := a.clients.Get(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show %q: %w", args[0], err)
			}
			return printClient(cmd.OutOrStdout(), c, "", asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientSetCommand(open openFunc) *cobra.Command {
	var asJSON bool
	flags := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "set CLIENT_ID",
		Short: "Change a site's registration",
		Long: `Change a site's registration.

Each flag given replaces its member; a list's flags replace the whole list, and "" empties it. --file replaces
the document as a whole, as RFC 7592 does. A client that now needs a client_secret and has none gets one, which
is printed once; one that becomes public loses its own.`,
		Example: `  passport client set shop --redirect-uri https://shop.example/callback --redirect-uri https://shop.example/cb2
  passport client set shop --logo-uri ""
  passport client set shop --file client.json
  passport client set shop --skip-consent
  passport client set 7c2f0f39 --verified`,
		Args: cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			updated, shown, err := a.clients.Update(cmd.Context(), args[0], func(c *client.Client) error {
				return flags.edit(cmd, c, a.clock.Now())
			})
			if err != nil {
				return fmt.Errorf("change %q: %w", args[0], err)
			}
			return printClient(cmd.OutOrStdout(), updated, shown, asJSON)
		}),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&flags.verified, "verified", true, "you vouch for who the client is; false: people are told that nobody does")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientRotateCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate-secret CLIENT_ID",
		Short: "Give a site a new client_secret",
		Long: `Give a site a new client_secret, printed once.

With --overlap the newest of the old ones goes on for that long (at most 90 days), so that the site can change
over; without it the old ones end now.`,
		Example: "  passport client rotate-secret shop --overlap 24h\n  passport client rotate-secret shop --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			shown, err := a.clients.RotateSecret(cmd.Context(), args[0], overlap)
			if err != nil {
				return fmt.Errorf("rotate the secret of %q: %w", args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{
					"client_id": args[0], "client_secret": shown, "client_secret_expires_at": 0,
				})
			}
			return printSecret(cmd.OutOrStdout(), args[0], shown)
		}),
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "how long the old client_secret goes on, as 24h")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientDisableCommand(open openFunc) *cobra.Command {
	return clientSwitchCommand(open, "disable", "Stop a site: nobody signs in there, and its tokens end",
		func(cmd *cobra.Command, a *app, id string) error { return a.clients.Disable(cmd.Context(), id) })
}

func clientEnableCommand(open openFunc) *cobra.Command {
	return clientSwitchCommand(open, "enable", "Let a stopped site go on",
		func(cmd *cobra.Command, a *app, id string) error { return a.clients.Enable(cmd.Context(), id) })
}

func clientSwitchCommand(open openFunc, verb, short string, act func(*cobra.Command, *app, string) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     verb + " CLIENT_ID",
		Short:   short,
		Example: "  passport client " + verb + " shop\n  passport client " + verb + " shop --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			if err := act(cmd, a, args[0]); err != nil {
				return fmt.Errorf("%s %q: %w", verb, args[0], err)
			}
			c, err := a.clients.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printClient(cmd.OutOrStdout(), c, "", true)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s.\n", c.ID, clientState(c))
			return err
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func clientDeleteCommand(open openFunc) *cobra.Command {
	var asJSON, yes bool
	cmd := &cobra.Command{
		Use:   "delete CLIENT_ID",
		Short: "Remove a site, with its consents and tokens",
		Long: `Remove a site, with its consents and tokens. It cannot be undone: "passport client disable" can.

Asks for the client_id once more, unless --yes is given.`,
		Example: "  passport client delete shop\n  passport client delete shop --yes --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			c, err := a.clients.Get(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("delete %q: %w", args[0], err)
			}
			if !yes {
				if err := confirmDelete(cmd, c); err != nil {
					return err
				}
			}
			if err := a.clients.Delete(cmd.Context(), c.ID); err != nil {
				return fmt.Errorf("delete %q: %w", c.ID, err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"client_id": c.ID, "deleted": true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted.\n", c.ID)
			return err
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func confirmDelete(cmd *cobra.Command, c *client.Client) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "Delete %q with all its consents and tokens? Type its client_id, %s: ", c.Name, c.ID)
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != c.ID {
		return errors.New("not deleted: the client_id was not typed (or give --yes)")
	}
	return nil
}

// readClientFile reads a client's document, with the two members that are no metadata.
func readClientFile(cmd *cobra.Command, name string) (m client.Metadata, id, secret string, err error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return m, "", "", err
		}
		defer f.Close()
		in = f
	}
	document, err := io.ReadAll(io.LimitReader(in, client.MaxDocument+1))
	if err != nil {
		return m, "", "", fmt.Errorf("read %s: %w", name, err)
	}
	if m, id, secret, err = client.DecodeRegistered(document); err != nil {
		return m, "", "", fmt.Errorf("%s: %w", name, err)
	}
	return m, id, secret, nil
}

// clientDocument is a client as --json prints it: its document, and what stands beside it.
func clientDocument(c *client.Client, secret string) (map[string]any, error) {
	doc, err := c.Document(secret)
	if err != nil {
		return nil, err
	}
	doc["require_pkce"], doc["skip_consent"] = c.RequirePKCE, c.SkipConsent
	doc["enabled"], doc["verified"] = c.Enabled(), c.Verified()
	doc["registered_by"] = cmp.Or(c.RegisteredBy, "operator")
	if c.Owner != "" {
		doc["owner"] = c.Owner
	}
	return doc, nil
}

func printClient(w io.Writer, c *client.Client, secret string, asJSON bool) error {
	doc, err := clientDocument(c, secret)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(w, doc)
	}
	delete(doc, "client_secret")
	delete(doc, "client_secret_expires_at")
	doc["client_id_issued_at"] = moment(c.CreatedAt)
	err = printTable(w, "MEMBER\tVALUE", func(w io.Writer) {
		for _, name := range slices.Sorted(maps.Keys(doc)) {
			list, isList := doc[name].([]any)
			if !isList {
				list = []any{doc[name]}
			}
			for _, v := range list {
				fmt.Fprintf(w, "%s\t%v\n", name, v)
			}
		}
		for _, s := range c.Secrets {
			fmt.Fprintf(w, "secret\tmade %s, ends %s\n", moment(s.CreatedAt), moment(s.ExpiresAt))
		}
	})
	if err != nil || secret == "" {
		return err
	}
	return printSecret(w, c.ID, secret)
}

func printSecret(w io.Writer, id, secret string) error {
	_, err := fmt.Fprintf(w, "\nclient_id:      %s\nclient_secret:  %s\n\nThe client_secret is shown this once.\n", id, secret)
	return err
}

func printClients(w io.Writer, list []*client.Client, asJSON bool) error {
	if asJSON {
		docs := make([]map[string]any, 0, len(list))
		for _, c := range list {
			doc, err := clientDocument(c, "")
			if err != nil {
				return err
			}
			docs = append(docs, doc)
		}
		return writeJSON(w, docs)
	}
	return printTable(w, "CLIENT_ID\tNAME\tHOST\tSTATE\tMADE", func(w io.Writer) {
		for _, c := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.ID, c.Name, c.Host(), clientState(c), moment(c.CreatedAt))
		}
	})
}

func clientState(c *client.Client) string {
	if c.Enabled() {
		return "enabled"
	}
	return "disabled"
}
