package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
)

// tokenCommand is `passport token`: what a token is, and what became of it.
func tokenCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Look at a token: what it says, and whether it lives",
		Long: `Look at a token: what it says, and whether it lives.

A token is given as an argument, or, so that it stays out of the shell's history, on standard input as "-".`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(tokenInspectCommand(), tokenIntrospectCommand(open))
	return cmd
}

// readToken is the token of the one argument.
func readToken(cmd *cobra.Command, arg string) (string, error) {
	if arg == "-" {
		raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 64<<10))
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		arg = string(raw)
	}
	if arg = strings.TrimSpace(arg); arg == "" {
		return "", &usageError{errors.New("the token is empty")}
	}
	return arg, nil
}

func tokenInspectCommand() *cobra.Command {
	var asJSON bool
	var at remote
	cmd := &cobra.Command{
		Use:   "inspect TOKEN",
		Short: "Tell what kind of token it is, and what a JWT says",
		Long: `Tell what kind of token it is, and what a JWT says. Nothing is asked of the database.

With --issuer the signature of a JWT is checked against that server's key set, and a bad one ends with exit code 1.`,
		Example: `  passport token inspect eyJhbGciOiJFUzI1NiIs…
  passport token inspect --issuer https://passport.example --json - <token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := readToken(cmd, args[0])
			if err != nil {
				return err
			}
			doc, err := inspectToken(token)
			if err != nil {
				return err
			}
			var forged error // a script that asks must not go on
			if _, isJWT := doc["claims"]; isJWT && at.issuer != "" {
				out, err := at.client()
				if err != nil {
					return err
				}
				ctx := oidc.ClientContext(cmd.Context(), out.HTTP())
				provider, err := oidc.NewProvider(ctx, at.issuer)
				if err != nil {
					return fmt.Errorf("ask %s: %w", at.issuer, err)
				}
				verifier := provider.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true})
				doc["signature"] = "good"
				if _, err := verifier.Verify(ctx, token); err != nil {
					doc["signature"] = "bad"
					forged = fmt.Errorf("%s did not sign it: %w", at.issuer, err)
				}
			}
			if asJSON {
				return errors.Join(writeJSON(cmd.OutOrStdout(), doc), forged)
			}
			return errors.Join(printToken(cmd.OutOrStdout(), doc), forged)
		},
	}
	cmd.Flags().StringVar(&at.issuer, "issuer", "", "check the signature against this server's key set")
	cmd.Flags().StringVar(&at.caFile, "ca-file", "", "further certificate authorities (PEM)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// inspectToken tells what can be seen of a token.
func inspectToken(token string) (map[string]any, error) {
	for _, kinds := range []map[string]string{engine.Kinds, client.Kinds} {
		for prefix, kind := range kinds {
			if strings.HasPrefix(token, prefix) {
				return map[string]any{"kind": kind, "format": "opaque"}, nil
			}
		}
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is no token of this program, and no signed JWT")
	}
	doc := map[string]any{"format": "jwt"}
	for i, name := range []string{"header", "claims"} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		var members map[string]any
		if err == nil {
			err = json.Unmarshal(raw, &members)
		}
		if err != nil {
			return nil, fmt.Errorf("the JWT's %s is not what it should be: %w", name, err)
		}
		doc[name] = members
	}
	header, _ := doc["header"].(map[string]any)
	typ, _ := header["typ"].(string)
	doc["kind"] = map[string]string{"at+jwt": "access token", "logout+jwt": "logout token", "jwt": "ID token, or another JWT",
		"token-introspection+jwt": "introspection response"}[strings.ToLower(typ)]
	if doc["kind"] == "" {
		doc["kind"] = "JWT"
	}
	return doc, nil
}

func printToken(w io.Writer, doc map[string]any) error {
	return printTable(w, "WHAT\tVALUE", func(w io.Writer) {
		fmt.Fprintf(w, "kind\t%s\n", doc["kind"])
		for _, part := range []string{"header", "claims"} {
			members, _ := doc[part].(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(members)) {
				fmt.Fprintf(w, "%s\t%s\n", printable(name), printable(tokenValue(name, members[name])))
			}
		}
		if s, ok := doc["signature"]; ok {
			fmt.Fprintf(w, "signature\t%s\n", printable(fmt.Sprint(s)))
		}
	})
}

// printable is a text that a terminal shows as it is; one with something else in it, which could rewrite what stands
// around it, is quoted.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

// tokenValue is a claim for people: times as such.
func tokenValue(name string, v any) string {
	seconds, isNumber := v.(float64)
	if isNumber && slices.Contains([]string{"exp", "iat", "nbf", "auth_time", "updated_at"}, name) {
		return fmt.Sprintf("%.0f (%s)", seconds, moment(time.Unix(int64(seconds), 0)))
	}
	if s, isText := v.(string); isText {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func tokenIntrospectCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "introspect TOKEN",
		Short: "Tell whether an access or refresh token lives, and if not, why",
		Long: `Tell whether an access or refresh token lives, and if not, why.

The database is asked, so this is for the operator. A site that wants to know asks the introspection endpoint,
which never tells why.`,
		Example: `  passport token introspect pp1a_Vq3…
  passport token introspect --json - <token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			token, err := readToken(cmd, args[0])
			if err != nil {
				return err
			}
			flows, err := a.engine(cmd.Context())
			if err != nil {
				return err
			}
			found, err := flows.Inspect(cmd.Context(), token)
			if err != nil {
				return err
			}
			doc := introspected(found)
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), doc)
			}
			return printTable(cmd.OutOrStdout(), "MEMBER\tVALUE", func(w io.Writer) {
				for _, name := range slices.Sorted(maps.Keys(doc)) {
					fmt.Fprintf(w, "%s\t%s\n", name, operatorValue(doc[name]))
				}
			})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func operatorValue(v any) string {
	switch v := v.(type) {
	case time.Time:
		return moment(v)
	case []string:
		return strings.Join(v, " ")
	}
	return fmt.Sprint(v)
}

// introspected is what the operator is told of a token, under the names of RFC 7662 where it has them.
func introspected(i engine.Inspection) map[string]any {
	doc := map[string]any{"active": i.Reason == ""}
	if i.Reason != "" {
		doc["reason"] = i.Reason
	}
	if i.Kind != "" {
		doc["kind"] = i.Kind
	}
	if !i.ExpiresAt.IsZero() {
		doc["expires_at"] = i.ExpiresAt
	}
	if g := i.Grant; g != nil {
		doc["client_id"], doc["scope"], doc["aud"] = g.ClientID, strings.Join(g.Scopes, " "), g.Audience
		doc["grant"], doc["granted_at"], doc["auth_time"], doc["acr"], doc["amr"] = g.ID, g.CreatedAt, g.AuthTime, g.ACR, g.AMR
		doc["account"], doc["sub"], doc["offline"] = i.Person.AccountID, i.Person.Sub, g.Offline
		if !g.RevokedAt.IsZero() {
			doc["revoked_at"] = g.RevokedAt
		}
	}
	if t := i.Token; t != nil {
		doc["client_id"], doc["scope"], doc["aud"], doc["issued_at"] = t.ClientID, strings.Join(t.Scopes, " "), t.Audience, t.IssuedAt
		if !t.RevokedAt.IsZero() {
			doc["revoked_at"] = t.RevokedAt
		}
	}
	return doc
}
