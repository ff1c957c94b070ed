package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Sources is where a configuration comes from. Flags are those whose names are keys (with - for _);
// only the ones that were set count.
type Sources struct {
	File    string   // a YAML file; empty: PASSPORT_CONFIG, else none
	Environ []string // as os.Environ gives it
	Flags   *pflag.FlagSet
	Dev     bool
}

// Faults is everything that is wrong with a configuration, in one error.
type Faults []string

func (f Faults) Error() string {
	if len(f) == 1 {
		return "configuration: " + f[0]
	}
	return fmt.Sprintf("configuration: %d faults\n  - %s", len(f), strings.Join(f, "\n  - "))
}

// Load reads, merges and checks. Its error is of type Faults and never holds a value of a secret.
func Load(s Sources) (*Config, error) {
	l := &loader{keys: map[string]Key{}, merged: koanf.New(".")}
	for _, k := range Keys() {
		l.keys[k.Name] = k
		if k.Default != "" {
			l.merge("default", map[string]any{k.Name: k.Default})
		}
	}
	if s.Dev {
		l.merge("default", map[string]any{
			"shutdown_delay": "0s",              // nothing balances load in front of it
			"limit_exempt":   "127.0.0.0/8,::1", // whoever tries it out registers more than five times an hour
			"outbound_allow": "localhost",       // the demonstration sites
		})
	}
	l.file(s)
	l.environment(s.Environ)
	l.flags(s.Flags)

	c := &Config{Dev: s.Dev}
	l.faults = append(l.faults, c.fill(l.keys, l.merged)...)
	l.faults = append(l.faults, c.complete()...)
	if len(l.faults) > 0 {
		return nil, Faults(l.faults)
	}
	return c, nil
}

type loader struct {
	keys   map[string]Key
	merged *koanf.Koanf
	faults []string
}

func (l *loader) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// layer is one source, already read: koanf's Provider.
type layer map[string]any

func (m layer) ReadBytes() ([]byte, error)    { return nil, errors.New("a layer is not bytes") }
func (m layer) Read() (map[string]any, error) { return m, nil }

// merge lays a source over those before it. The names of secret files are replaced by what the files hold here,
// layer by layer, so that PASSPORT_SECRET_FILE overrides a secret of the YAML file like PASSPORT_SECRET would.
func (l *loader) merge(source string, values map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		base, isFile := strings.CutSuffix(name, "_file")
		k, ours := l.keys[base]
		if !isFile || !ours || !k.Secret {
			continue
		}
		path, _ := values[name].(string)
		delete(values, name)
		if values[base] != nil {
			l.fault("%s: both %s and %s are given", source, base, name)
			continue
		}
		held, err := os.ReadFile(path)
		if err != nil {
			l.fault("%s: %s: %s", source, name, reason(err))
			continue
		}
		values[base] = strings.TrimRight(string(held), "\r\n")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ours := l.keys[name]; !ours {
			l.fault("%s: unknown key %s", source, name)
			delete(values, name)
		}
	}
	if err := l.merged.Load(layer(values), nil); err != nil {
		l.fault("%s: %v", source, err)
	}
}

func (l *loader) file(s Sources) {
	name := s.File
	if name == "" {
		for _, e := range s.Environ {
			if v, ok := strings.CutPrefix(e, EnvPrefix+"CONFIG="); ok {
				name = v
			}
		}
	}
	if name == "" {
		return
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(name), yaml.Parser()); err != nil {
		// A parser's error may quote the line, and with it a secret: say where, not what.
		l.fault("file %s: %s", name, reason(err))
		return
	}
	l.merge("file "+name, k.All())
}

// notOurs matches the variables that are no keys: those that Kubernetes injects into every pod for a service
// called "passport" or "passport-…", the names of this file and of the crash points, and what our tests use.
var notOurs = regexp.MustCompile(`^PASSPORT_(` +
	`PORT|PORT_.*|SERVICE_.*|` +
	`.+_SERVICE_HOST|.+_SERVICE_PORT(_.+)?|.+_PORT|.+_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|` +
	`CONFIG|FAULT(?:_.*)?|TEST_.*)$`)

func (l *loader) environment(environ []string) {
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if notOurs.MatchString(name) || value == "" { // an empty variable is one that is not set
				return "", nil
			}
			return strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), value
		},
	}), nil)
	if err != nil {
		l.fault("environment: %v", err)
		return
	}
	l.merge("environment", k.All())
}

func (l *loader) flags(set *pflag.FlagSet) {
	if set == nil {
		return
	}
	k := koanf.New(".")
	err := k.Load(posflag.ProviderWithFlag(set, ".", k, func(f *pflag.Flag) (string, any) {
		name := strings.ReplaceAll(f.Name, "-", "_")
		if _, ours := l.keys[name]; !ours || !f.Changed {
			return "", nil
		}
		return name, f.Value.String()
	}), nil)
	if err != nil {
		l.fault("flags: %v", err)
		return
	}
	l.merge("flags", k.All())
}

// reason tells why a file could not be used without quoting what it holds.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	if at := regexp.MustCompile(`line \d+`).FindString(err.Error()); at != "" {
		return "not YAML, at " + at
	}
	return "not YAML"
}
