package templates

// Human is the check in a form that a person is there: one of the ways of package human.
type Human struct {
	Challenge string
	Bits      int  // of work for the page's script; 0: none
	Picture   bool // digits that can be seen, and heard
	Service   *HumanService
}

// HumanService is the check of somebody else.
type HumanService struct {
	Script, Class, Field, SiteKey, Action, Data string
	Score                                       bool // it shows nothing
}

// HumanScript is the address of the script that works at the check.
func (b *Base) HumanScript() string { return assetPath("human.js") }
