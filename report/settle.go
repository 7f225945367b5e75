package report

// SettleEnd says why phase settle ended, or why it was left out.
type SettleEnd string

const (
	// SettleUnplanned: left out, as Settle is 0.
	SettleUnplanned SettleEnd = "not in the budget"
	// SettleNotReady: left out, as the server was never ready.
	SettleNotReady SettleEnd = "never ready"
	// SettleTyped: left out, as Ctrl-C was pressed at a terminal.
	SettleTyped SettleEnd = "asked for at a terminal"
	// SettleNobody: no server was left serving.
	SettleNobody SettleEnd = "no server serves"
	// SettleForced: ended, or was left out, as the shutdown was forced.
	SettleForced SettleEnd = "forced"
	// SettleQuiet: no new work had come for Quiet.
	SettleQuiet SettleEnd = "quiet"
	// SettleTime: the time of Settle was over.
	SettleTime SettleEnd = "full time"
	// SettleShortened: the same, after Shorten had made it less.
	SettleShortened SettleEnd = "shortened"
	// SettleTimer: the timer fired.
	SettleTimer SettleEnd = "the timer fired"
)
