package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/keys"
)

// keysCommand is `passport keys`: what signs, what will, and the change of PASSPORT_SECRET.
func keysCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Signing keys, and the secret that seals the database",
		Long: `Signing keys, and the secret that seals the database.

Running servers see every change within two seconds.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(keysListCommand(open), keysRotateCommand(open), keysRetireCommand(open), keysResealCommand(open))
	return cmd
}

func keysListCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the signing keys",
		Example: "  passport keys list\n  passport keys list --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			return listKeys(cmd, a.ring, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func keysRotateCommand(open openFunc) *cobra.Command {
	var asJSON, now, all bool
	var algs []string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make the next key of every algorithm in use",
		Long: `Make the next key of every algorithm in use: RS256, which is everybody's default, and those that some site
registered. With --all those that nobody uses too; with --alg just the ones named.

It is published now and signs once every cached copy of the key set has run out, as the key set's max-age says.
The keys before it stay published as long as what they signed is valid. With --now the next keys sign at once:
sites that hold an older copy of the key set refuse sign-ins until they fetch it again.`,
		Example: `  passport keys rotate
  passport keys rotate --now --json
  passport keys rotate --alg ES256 --alg EdDSA`,
		Args: cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			if len(algs) == 0 && !all {
				var err error
				if algs, err = algsInUse(cmd.Context(), a.clients); err != nil {
					return err
				}
			}
			if err := a.ring.Rotate(cmd.Context(), now, algs...); err != nil {
				return fmt.Errorf("rotate the signing keys: %w", err)
			}
			return listKeys(cmd, a.ring, asJSON)
		}),
	}
	cmd.Flags().BoolVar(&now, "now", false, "let the next keys sign at once")
	cmd.Flags().BoolVar(&all, "all", false, "every algorithm, used or not")
	cmd.Flags().StringArrayVar(&algs, "alg", nil, "an algorithm, as ES256 (repeatable)")
	cmd.MarkFlagsMutuallyExclusive("all", "alg")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// algsInUse are the algorithms that something of ours may be signed with for some client.
func algsInUse(ctx context.Context, clients *client.Registry) ([]string, error) {
	used := []string{"RS256"} // OpenID Connect Core §15.1: what a client gets that names none
	list, err := allClients(ctx, clients)
	for _, c := range list {
		m := &c.Metadata
		used = append(used, m.IDTokenSignedResponseAlg, m.UserinfoSignedResponseAlg, m.IntrospectionSignedResponseAlg)
	}
	return slices.DeleteFunc(slices.Clone(keys.Algs), func(alg string) bool { return !slices.Contains(used, alg) }), err
}

func keysRetireCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retire KID",
		Short: "Take a key out of the key set at once",
		Long: `Take a key out of the key set at once, for one that may be in other hands.

What it has signed is not accepted any more. If it signs now, another key of its algorithm takes over in the
same step.`,
		Example: "  passport keys retire 5J0dK2fqTt1X4mWZ9yJt0vQ7u3cN6bR8sE1hL5pA2gI",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			if err := a.ring.Retire(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("retire %s: %w", args[0], err)
			}
			return listKeys(cmd, a.ring, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func keysResealCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Seal everything under the present PASSPORT_SECRET",
		Long: `Seal everything under the present PASSPORT_SECRET, after a change of it.

To change the secret: give all servers the new one as PASSPORT_SECRET and the old one as
PASSPORT_SECRET_PREVIOUS, run this, then drop PASSPORT_SECRET_PREVIOUS. Several servers that are restarted one
after the other first get the new one as PASSPORT_SECRET_PREVIOUS, so that each can read what the others seal.
Every account, sign-in and token stays valid.`,
		Example: "  passport keys reseal\n  passport keys reseal --json",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			report, err := a.ring.Reseal(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), report)
			}
			return printTable(cmd.OutOrStdout(), "TABLE\tRESEALED\tWERE CURRENT", func(w io.Writer) {
				for _, r := range report {
					fmt.Fprintf(w, "%s\t%d\t%d\n", r.Table, r.Resealed, r.Current)
				}
			})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// listKeys prints all keys: what every verb that changes them ends with.
func listKeys(cmd *cobra.Command, ring *keys.Ring, asJSON bool) error {
	list, err := ring.List(cmd.Context())
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(cmd.OutOrStdout(), list)
	}
	return printTable(cmd.OutOrStdout(), "KID\tALG\tSTATE\tPUBLISHED\tSIGNS FROM\tUNTIL\tPUBLISHED UNTIL", func(w io.Writer) {
		for _, k := range list {
			published := "no"
			if k.Published {
				published = "yes"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.KID, k.Alg, k.State, published,
				moment(k.ActiveAt), moment(k.RetiredAt), moment(k.RemoveAt))
		}
	})
}
