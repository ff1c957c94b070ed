package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/mail"
)

func mailCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Try the mail server, and what the DNS says of our mail",
	}
	cmd.AddCommand(mailTestCommand(open), mailDNSCommand(open))
	return cmd
}

func mailTestCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var language string
	cmd := &cobra.Command{
		Use:   "test ADDRESS",
		Short: "Send a mail to an address, now",
		Long: `Send a mail to an address, now, and tell what the mail server says of it. It goes past the queue: what does not
arrive has failed here. Whether it is read as unwanted mail shows in the mail box alone.`,
		Example: "  passport mail test you@example.com\n  passport mail test you@example.com --language es --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			err := a.mailer.Try(cmd.Context(), mail.Message{To: args[0], Language: language, Template: "test"})
			if errors.Is(err, mail.ErrRecipient) {
				return &usageError{fmt.Errorf("%q is no address that mail can be sent to", args[0])}
			}
			if err != nil {
				return fmt.Errorf("the mail was not sent: %w", err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"sent": true, "to": args[0], "server": a.mailer.Server()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has taken the mail to %s.\n", a.mailer.Server(), args[0])
			return err
		}),
	}
	cmd.Flags().StringVar(&language, "language", "en", "of the mail, BCP 47")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func mailDNSCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var server string
	cmd := &cobra.Command{
		Use:   "check-dns",
		Short: "Look up what receivers ask the DNS about our mail",
		Long: `Look up what receivers ask the DNS about our mail: the servers that take the sender's mail (MX), who may send for its
domain (SPF), the key of our signature (DKIM) and what is to be done with mail that only claims to be ours (DMARC). What is
missing or wrong is told with the record to publish, and the command fails.`,
		Example: "  passport mail check-dns\n  passport mail check-dns --json\n  passport mail check-dns --server 198.51.100.53:53",
		Args:    cobra.NoArgs,
		RunE: withApp(open, func(cmd *cobra.Command, a *app, _ []string) error {
			list := a.mailer.CheckDNS(cmd.Context(), mail.NameServer(server))
			print := func() error { return printDNS(cmd.OutOrStdout(), list) }
			if asJSON {
				print = func() error { return writeJSON(cmd.OutOrStdout(), list) }
			}
			if err := print(); err != nil {
				return err
			}
			if bad := slices.DeleteFunc(slices.Clone(list), mail.DNSCheck.Fine); len(bad) > 0 {
				return fmt.Errorf("%d of %d are not as they should be", len(bad), len(list))
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&server, "server", "", "the name server to ask, HOST:PORT (default: the system's)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printDNS(w io.Writer, list []mail.DNSCheck) error {
	err := printTable(w, "ITEM\tSTATE\tNAME\tWHY", func(w io.Writer) {
		for _, c := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Item, c.State, cmp.Or(c.Name, "-"), c.Why)
		}
	})
	for _, c := range list {
		if c.Publish != "" && err == nil {
			kind := "TXT"
			if c.Item == "mx" {
				kind = "MX"
			}
			_, err = fmt.Fprintf(w, "\nPublish for %s, as %s of %s:\n  %s\n", c.Item, kind, c.Name, c.Publish)
		}
	}
	return err
}
