// Package templates holds every byte shown to people: one layout, a file a page, parts, the style sheet, the
// catalogue of messages in each language, and the mails. All of it is embedded.
//
// A page is a struct in pages.go that embeds Base; its template asks for words with {{.T "key"}}. The catalogue
// is a flat JSON object a language with named placeholders ({site}); golang.org/x/text/language picks the
// language. There are no plurals in our words and no logic in our messages, so no library parses them.
//
// It owns no decision: what to show, and to whom, is said by the rooms under pkg/web.
package templates
