package limit

import "time"

// The rules. "IP" counts /32 and /64, "Net" /24 and /48 (see Limiter.Network); the comment names the other
// parts of the key. All are reserved before the check; those about failures are refunded when it succeeds.
var (
	// Sign-in, counted when it fails.
	LoginIP  = Rule{"login-ip", 20, 30 * time.Second}
	LoginNet = Rule{"login-net", 200, 3 * time.Second}
	// LoginAddress: the canonical address that was typed, whether it is anybody's or not, from browsers that an account does not
	// know: by what shows of it nobody learns which addresses are one account's.
	LoginAddress = Rule{"login-address", 10, 6 * time.Minute}

	// LoginHuman: the same, when that is used up, of whoever passes the human check at each try.
	LoginHuman = Rule{"login-human", 30, time.Minute}

	// LoginAccount: the resolved account (unknown: its canonical address), over all of its addresses, for names that are counted
	// apart are as many budgets (CVE-2025-24806). It shows nowhere. It is three times LoginAddress, so that guesses at one address,
	// or two, keep nobody out who comes by another.
	LoginAccount = Rule{"login-account", 30, 2 * time.Minute}

	// LoginDevice: the account and a browser that it was signed in to from (account.KnowDevice).
	LoginDevice = Rule{"login-device", 10, time.Minute}

	// Guessed: mails to the owner of an account that strangers have guessed at too often.
	Guessed = Rule{"guessed", 2, 6 * time.Hour}

	// Registration, each counted.
	RegisterIP  = Rule{"register-ip", 5, 10 * time.Minute}
	RegisterNet = Rule{"register-net", 50, time.Minute}

	// RegisterAll: all registrations of all networks together: beyond it nobody is refused, but asked for a human check.
	RegisterAll = Rule{"register-all", 100, 600 * time.Millisecond}

	// Mail that a stranger can cause: per canonical address, and per sender's network. Burst and period are
	// such that no hour sees more than 3 mails to one address, and no 24 hours more than 10 (5 at once and
	// 5 at one in 4 hours): a burst of 10 with 10 a day would allow 19 in the first.
	MailAddressHour = Rule{"mail-address-hour", 3, time.Hour}
	MailAddressDay  = Rule{"mail-address-day", 5, 4 * time.Hour}
	// RecoverAddress*: the same for recoveries alone: nobody must use up by registrations what the owner needs.
	RecoverAddressHour = Rule{"recover-address-hour", 3, time.Hour}
	RecoverAddressDay  = Rule{"recover-address-day", 5, 4 * time.Hour}
	MailIP             = Rule{"mail-ip", 5, 10 * time.Minute}
	MailNet            = Rule{"mail-net", 50, time.Minute}

	// RecoveryRequest: requests to the operator: the address that was typed and the one at which its owner can be reached; and
	// those of an account that are opened, one after the other.
	RecoveryRequest = Rule{"recovery-request", 5, 8 * time.Hour}
	// RecoveryRequests: all for one address that was typed: so many that nobody shuts the way by asking before its owner.
	RecoveryRequests = Rule{"recovery-requests", 50, 48 * time.Minute}

	// RecoveryAnswer: wrong answers to the recovery question of an account, whose mail somebody can read.
	RecoveryAnswer = Rule{"recovery-answer", 20, 6 * time.Hour}

	// AccountChange: what an owner can change with a mail about it, each counted by account: nobody buries the mail that
	// matters under others.
	AccountChange = Rule{"account-change", 10, 144 * time.Minute}
	// PasswordChange: the same for the password alone: whoever finds a browser open must not keep the owner from a new one by
	// changing all else.
	PasswordChange = Rule{"password-change", 10, 144 * time.Minute}

	// NewBrowser: mails about sign-ins from browsers that the account does not know, by account: the password was right, and
	// some people's browsers keep no cookies.
	NewBrowser = Rule{"new-browser", 5, 4 * time.Hour}

	// Export: files of all that is known, each that is asked for, by account: each is much, and has a mail, which buries others.
	Export = Rule{"export", 3, 8 * time.Hour}
	// Download: of these, each that is downloaded: it is much too, and is recorded.
	Download = Rule{"export-download", 5, 10 * time.Minute}

	// Picture: pictures that an account sends, each counted: each is work to decode and to draw.
	Picture = Rule{"picture", 10, 6 * time.Minute}

	// Client authentication, counted when it fails.
	ClientAuthIP  = Rule{"client-auth-ip", 30, 10 * time.Second}
	ClientAuthNet = Rule{"client-auth-net", 300, time.Second}
	// ClientAuth: client and network, never the client alone: one stranger must not stop a client.
	ClientAuth = Rule{"client-auth", 50, time.Minute}

	// User codes of devices, counted when none waits under what was typed: a code has 34 bits and ten minutes.
	DeviceIP  = Rule{"device-ip", 10, time.Minute}
	DeviceNet = Rule{"device-net", 100, 6 * time.Second}

	// Clients that register themselves without a token, or that did and change, each counted.
	ClientIP  = Rule{"client-ip", 20, 3 * time.Minute}
	ClientNet = Rule{"client-net", 200, 18 * time.Second}
	// ClientChange: the client, whichever way it came in. Each change may make us fetch, and empties caches.
	ClientChange = Rule{"client-change", 20, 3 * time.Minute}

	// In the process, before anything is asked or written.
	Human     = Rule{"human", 60, time.Second}                 // network; of digits drawn, spoken, and given
	Draft     = Rule{"draft", 60, time.Second}                 // network; of registration forms, whose passwords are judged
	Authorize = Rule{"authorize", 120, 500 * time.Millisecond} // network; an interaction row may follow
	Endpoint  = Rule{"endpoint", 600, 20 * time.Millisecond}   // network; of callers that prove nothing
)
