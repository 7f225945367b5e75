package proptest

import (
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// What worlds and invariants use of the library, by one name each.
type (
	// Budget is the time that a shutdown may take.
	Budget = lastcall.Budget
	// Controller is what is tested.
	Controller = controller.Controller
	// Option is what New is given.
	Option = controller.Option
	// Report is what Run returns.
	Report = report.Report
	// Step is what observers are told, and what a report is made of.
	Step = report.Step

	phase  = lastcall.Phase
	op     = report.Op
	result = report.Result
	work   = lastcall.Work
)

const (
	opAttach       = report.OpAttach
	opServe        = report.OpServe
	opWork         = report.OpWork
	opAnnounce     = report.OpAnnounce
	opAnnouncer    = report.OpAnnouncer
	opGracefulStop = report.OpGracefulStop
	opCancel       = report.OpCancel
	opStop         = report.OpStop
	opCut          = report.OpCut
	opClose        = report.OpClose
	opFlush        = report.OpFlush
	opObserve      = report.OpObserve
	opLog          = report.OpLog
	opText         = report.OpText
	opInFlight     = report.OpInFlight
	opNotes        = report.OpNotes
	opIdlePeers    = report.OpIdlePeers
	opLastArrival  = report.OpLastArrival

	// What the library does not know of: the handlers of real servers and what they
	// begin, and their clients.
	opHandler op = "handler"
	opTask    op = "task"
	opConn    op = "connection"
	opClient  op = "client"
)
