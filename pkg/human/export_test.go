package human

// Digits are those of a challenge, which nobody else can read.
func (p *Puzzle) Digits(browser []byte, challengeText string) string {
	c, err := p.open(browser, challengeText)
	if err != nil {
		panic(err)
	}
	return c.digits
}

// Worked is exported for the test that compares it with the page's script.
var Worked = worked
