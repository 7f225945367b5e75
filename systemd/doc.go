// Package systemd takes the sockets that systemd has opened for a process ([Listeners]),
// and tells systemd how the process is doing ([Notify]): that it is ready, that it stops, in
// which phase it is, and until when it has to be left alive. Where NOTIFY_SOCKET is not set
// nothing is sent, so Notify may stay in a program that also runs elsewhere.
//
// A unit for it:
//
//	[Service]
//	Type=notify
//	ExecStart=/usr/local/bin/orders
//	Restart=on-failure
//	# SIGTERM for the main process only: it ends its children itself. What is left
//	# of them when it has exited gets SIGKILL.
//	KillMode=mixed
//	# The budget's Total (28 s by default) and time to exit. It bounds the time from
//	# SIGTERM to SIGKILL until the process asks for more.
//	TimeoutStopSec=30
//
// # What is sent
//
//	start      STATUS
//	serve      READY=1, STATUS
//	announce   STOPPING=1, EXTEND_TIMEOUT_USEC, STATUS
//	later      EXTEND_TIMEOUT_USEC, STATUS
//
// STATUS names the phase and says how much time is left until the deadline. It is
// what "systemctl status" shows, after the end as well: then it is the last phase.
//
// EXTEND_TIMEOUT_USEC is the time that is left until the deadline, and 2 s more for
// what a program does between the end of Run and its exit. With it systemd moves
// the end of the timeout that runs, if that would come earlier, to that instant: so
// a TimeoutStopSec (or DefaultTimeoutStopSec) that is shorter than the budget does
// not kill a process that would have been done by its deadline. It only has to be
// long enough for the first message: from SIGTERM to phase announce, which is next
// to no time. One message would do, as the deadline is known. It is repeated with each phase
// for the case that a timeout begins anew: where ExecStop= has triggered the
// shutdown, TimeoutStopSec counts again from the SIGTERM that follows. After a force or
// Shorten the deadline is earlier: STATUS says so at once, and systemd keeps the later
// instant that it knows.
//
// # What is not
//
// A start that takes longer than TimeoutStartSec is the program's own matter: it
// sets TimeoutStartSec, or sends EXTEND_TIMEOUT_USEC until Run is called. The
// watchdog (WATCHDOG=1) is too: only the program knows what being alive means. So
// are reloads (RELOADING=1). MAINPID is not sent: systemd knows its child. Where a
// shell stands between, let it exec the program, or set NotifyAccess=all and
// see that the signal comes through.
// NOTIFY_SOCKET stays set for the other messages of the program, and is inherited by
// its children; what these send is ignored unless NotifyAccess says otherwise.
// Addresses of the kind vsock: (systemd in a virtual machine) are not supported.
package systemd
