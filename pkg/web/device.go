package web

import (
	"slices"

	"github.com/mileusna/useragent"
)

// What a page may name. A User-Agent is anybody's text, a stranger's with a wrong password too: of another program people
// read that it is unknown.
var (
	programs = []string{useragent.Chrome, useragent.HeadlessChrome, useragent.Firefox, useragent.Safari, useragent.Edge,
		useragent.Opera, useragent.OperaMini, useragent.InternetExplorer, useragent.Vivaldi, useragent.SamsungBrowser}
	systems = []string{useragent.Windows, useragent.MacOS, useragent.Linux, useragent.Android, useragent.IOS, useragent.ChromeOS, useragent.FreeBSD}
)

// Device names a browser and its system, by its User-Agent; empty when either is none that we know.
func Device(agent string) (name, system string) {
	ua := useragent.Parse(agent)
	if !slices.Contains(programs, ua.Name) || !slices.Contains(systems, ua.OS) {
		return "", ""
	}
	return ua.Name, ua.OS
}
