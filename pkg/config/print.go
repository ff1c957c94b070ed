package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Value is a key and what holds for it, fit to be shown.
type Value struct {
	Key   string `json:"key"`
	Env   string `json:"env"`
	Value any    `json:"value"`
}

// hidden stands for a secret that is set.
const hidden = "(hidden)"

// Values lists what holds, key by key. Secrets are hidden whole, a database's and a mail server's URL too:
// both may carry a password in more than one place.
func (c *Config) Values() []Value {
	v := reflect.ValueOf(c).Elem()
	var list []Value
	for _, k := range Keys() {
		f := v.Field(k.field)
		var shown any
		switch x := f.Interface().(type) {
		case time.Duration:
			shown = x.String()
		case slog.Level:
			shown = strings.ToLower(x.String())
		case []netip.Prefix:
			words := []string{}
			for _, p := range x {
				words = append(words, p.String())
			}
			shown = words
		case []string:
			shown = append([]string{}, x...)
		default:
			shown = x
		}
		if k.Secret && !f.IsZero() && !(k.Name == "database" && strings.HasPrefix(c.Database, "sqlite:")) {
			shown = hidden
		}
		list = append(list, Value{Key: k.Name, Env: k.Env(), Value: shown})
	}
	return list
}

// Reference is the text of deploy/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Every key can stand in a YAML file (` + "`--config FILE` or `PASSPORT_CONFIG`" + `), in the environment, and, for
some, in a flag of the same name with dashes. The later wins: default, file, environment, flag.
A key that holds a secret can be given as a file too: ` + "`secret_file: FILE`, `PASSPORT_SECRET_FILE=FILE`" + `.
Lists are YAML lists, or one text with commas. An unknown key is refused, and ` + "`passport config check`" + ` lists
everything that is wrong at once; ` + "`passport config print`" + ` shows what holds, without secrets.

Variables that Kubernetes sets for a service called passport (` + "`PASSPORT_PORT`, `PASSPORT_PORT_…`, `PASSPORT_SERVICE_…`" + `)
are ignored.

| Key | Environment | Default | Meaning |
|---|---|---|---|
`)
	for _, k := range Keys() {
		env, def := "`"+k.Env()+"`", ""
		if k.Secret {
			env += " or `" + k.Env() + "_FILE`"
		}
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, env, def, k.Doc)
	}
	return b.String()
}
