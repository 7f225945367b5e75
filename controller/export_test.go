package controller

// Constants of docs/time.md with which tests compute instants: to move one breaks none.
const (
	FlushTime = flushTime
	TurnTime  = turnTime
)
