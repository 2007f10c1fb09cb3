package model

import "slices"

// Switch is a rule, or a part of one, that can be switched off.
type Switch int

// Off says which are switched off.
type Off [switches]bool

// without returns an Off with one switch set.
func without(s Switch) Off {
	var off Off
	off[s] = true
	return off
}

// The switches, by model.
const (
	TakeoverChecksTheEpoch Switch = iota // epochs
	WriteChecksTheEpoch
	WriteChecksVersions
	LowerEpochsAreRefused
	WriteAhead
	ClaimThenRead
	ClaimNotSeenIsNotFailed
	WriteNotSeenIsNotFailed

	InstanceIsNamed // attempts, regions
	FarewellsAreFenced
	DeployAfterCommit
	RedeployOnEvidence
	EvidenceNamesTheAttempt
	PromiseIsKept
	FreezeWithoutCoordination
	OwnPauseIsNoSilence
	FinalStatesAreHeld

	CompletionChecksVersions // transactions, files
	CompletionAfterCommit
	AcknowledgedIsKept
	UnpublishedIsNamedAgain
	RestartClosesTheCheckpoint
	RestartNamesThePointer
	MessagesNameTheAttempt // triggers and acknowledgements: if either does, the other need not
	MessagesNameTheRegion
	CompletionsNameTheAttempt
	CheckpointIsTakenOnce
	FinishedPublishesNothing
	InheritedIsNamedAgain
	InheritedIsSpared

	OneTransaction // requests
	RefusalsAreRecorded
	RecordIsCreated
	ExpiryCommitsAWatermark
	SaidOnlyWhenKnown
	CurrentFollowsACheck
	AskTheQuorum

	DeadBeforeDeleted // deletion
	OnlyTheClosedIsGarbage
	ReferencesAreRetained
	TriggerNamesTheBase

	ConnectionNamesItsEnds // connections

	StorageKnowsTheIncarnation // incarnation
	MessagesNameTheIncarnation
	EpochHasOneLeader

	WaitForTheLease // leases
	FoundDeclarationWaitsAnew
	RenewWithWhatRemains
	LeaseFromTheRequest
	DeadStaysDead
	StandbysDoNotRenew
	ProofEndsProcesses

	switches // how many there are
)

// covered is a switch that a model covers. docs/model.md and docs/rules.md name it.
type covered struct {
	off    Switch
	name   string
	rule   string // whose part it is; "proposed": of none yet
	breaks string // the invariant that the shortest counterexample breaks
}

// size chooses the bounds of a model.
type size int

const (
	small size = iota // for go test: seconds
	large             // for make model: minutes
)

// limit is how many states are explored at most; no model has as many.
func (z size) limit() int { return [...]int{2_000_000, 40_000_000}[z] }

// model is one state space with the switches that it covers.
type model struct {
	name    string
	bounds  [2]string // by size
	run     func(Off, size) Result
	actions []string
	covers  []covered
}

var attemptBounds = [2]string{
	"2 TaskManagers, 2 subtasks, 2 leaders, 2 attempts, 1 fault, a cancel",
	"2 TaskManagers, 2 subtasks, 2 leaders, 2 faults; 2 attempts and a cancel, or 3 attempts",
}

var checkpointBounds = [2]string{
	"2 subtasks, 2 attempts, 2 checkpoints, 1 record each",
	"2 subtasks; a third attempt, or a third checkpoint, or a second record",
}

var attemptActions = []string{attemptTakeover, attemptStart, attemptGiveUp, attemptFinish, attemptCancel, attemptCanceled, attemptDead, attemptLost,
	attemptDeploy, attemptStop, attemptConfirm, attemptDone, attemptCrash, attemptTell, attemptKill, attemptReturn, attemptRefused}

var checkpointActions = []string{ckRestart, ckRestartOne, ckReserve, ckComplete, ckAbort, ckEnd, ckStart, ckRead, ckFinish, ckTake}

// models are all of them.
var models = []model{
	{
		name:   "epochs",
		bounds: [2]string{"2 JobManagers, 2 epochs, 2 ids", "2 JobManagers, 4 epochs, 3 ids; 3 JobManagers, 2 epochs, 2 ids"},
		run:    epochsRun,
		actions: []string{epochSend, epochLand, epochReply, epochRefused, epochLost, epochMine, epochRead, epochRetire, epochKill,
			epochDecide, epochAnew, epochWriteLands, epochLearn, epochExecute},
		covers: []covered{
			{TakeoverChecksTheEpoch, "TakeoverChecksTheEpoch", "takeover", "I1"},
			{WriteChecksTheEpoch, "WriteChecksTheEpoch", "R1", "I2"},
			{WriteChecksVersions, "WriteChecksVersions", "R1", "I8"},
			{LowerEpochsAreRefused, "LowerEpochsAreRefused", "R2", "I4"},
			{WriteAhead, "WriteAhead", "R3", "I5"},
			{ClaimThenRead, "ClaimThenRead", "R7", "I10"},
			{ClaimNotSeenIsNotFailed, "ClaimNotSeenIsNotFailed", "R8", "L1"},
			{WriteNotSeenIsNotFailed, "WriteNotSeenIsNotFailed", "R8", "I7"},
		},
	},
	{
		name:    "attempts",
		bounds:  attemptBounds,
		run:     attemptsRun(1),
		actions: attemptActions,
		covers: []covered{
			{RedeployOnEvidence, "RedeployOnEvidence", "R4", "I5"},
			{EvidenceNamesTheAttempt, "EvidenceNamesTheAttempt", "R5", "I5"},
		},
	},
	{
		name:    "regions",
		bounds:  attemptBounds,
		run:     attemptsRun(2),
		actions: slices.Concat(attemptActions, []string{attemptStartOne}),
		covers: []covered{
			{InstanceIsNamed, "InstanceIsNamed", "R2", "I3"},
			{FarewellsAreFenced, "FarewellsAreFenced", "R2", "I6"},
			{DeployAfterCommit, "DeployAfterCommit", "R3", "I3"},
			{PromiseIsKept, "PromiseIsKept", "R6", "I3"},
			{FreezeWithoutCoordination, "FreezeWithoutCoordination", "R10", "I6"},
			{OwnPauseIsNoSilence, "OwnPauseIsNoSilence", "R11", "I6"},
			{FinalStatesAreHeld, "FinalStatesAreHeld", "R12", "I3"},
		},
	},
	{
		name:    "transactions",
		bounds:  checkpointBounds,
		run:     checkpointsRun(false),
		actions: slices.Concat(checkpointActions, []string{ckCommit, ckInherit}),
		covers: []covered{
			{CompletionChecksVersions, "CompletionChecksVersions", "R1", "I5"},
			{CompletionAfterCommit, "CompletionAfterCommit", "R3", "I5"},
			{AcknowledgedIsKept, "AcknowledgedIsKept", "R3", "I5"},
			{UnpublishedIsNamedAgain, "UnpublishedIsNamedAgain", "R3", "I5"},
			{RestartClosesTheCheckpoint, "RestartClosesTheCheckpoint", "R4", "I5"},
			{RestartNamesThePointer, "RestartNamesThePointer", "R4", "I5"},
			{MessagesNameTheAttempt, "MessagesNameTheAttempt", "R5", "I5"},
			{MessagesNameTheRegion, "MessagesNameTheRegion", "R5", "I5"},
			{CompletionsNameTheAttempt, "CompletionsNameTheAttempt", "R5", "I5"},
			{CheckpointIsTakenOnce, "CheckpointIsTakenOnce", "R5", "I5"},
			{FinishedPublishesNothing, "FinishedPublishesNothing", "R12", "I5"},
			{InheritedIsNamedAgain, "InheritedIsNamedAgain", "R13", "I5"},
			{InheritedIsSpared, "InheritedIsSpared", "R13", "I5"},
		},
	},
	{
		name:    "files",
		bounds:  checkpointBounds,
		run:     checkpointsRun(true),
		actions: slices.Concat(checkpointActions, []string{ckRename, ckRenameLast, ckForget}),
		covers: []covered{
			{CompletionChecksVersions, "CompletionChecksVersions", "R1", "I5"},
			{CompletionAfterCommit, "CompletionAfterCommit", "R3", "I5"},
			{AcknowledgedIsKept, "AcknowledgedIsKept", "R3", "I5"},
			{UnpublishedIsNamedAgain, "UnpublishedIsNamedAgain", "R3", "I5"},
			{RestartClosesTheCheckpoint, "RestartClosesTheCheckpoint", "R4", "I5"},
			{RestartNamesThePointer, "RestartNamesThePointer", "R4", "I5"},
			{MessagesNameTheAttempt, "MessagesNameTheAttempt", "R5", "I5"},
			{CheckpointIsTakenOnce, "CheckpointIsTakenOnce", "R5", "I5"},
			{FinishedPublishesNothing, "FinishedPublishesNothing", "R12", "I5"},
		},
	},
	{
		name:   "leases",
		bounds: [2]string{"2 leaders, lease 2 ticks, 1 renewal under way", "3 leaders, lease 5 ticks, 2 renewals under way"},
		run:    leasesRun,
		actions: []string{leaseTick, leaseConfirm, leaseClaim, leaseAsk, leaseGrants, leaseReceive, leaseDeclare, leaseRedeploy,
			leaseKill, leaseEnds, leaseHeir, leaseProves},
		covers: []covered{
			{WaitForTheLease, "WaitForTheLease", "R4", "I5"},
			{FoundDeclarationWaitsAnew, "FoundDeclarationWaitsAnew", "R4", "I5"},
			{RenewWithWhatRemains, "RenewWithWhatRemains", "leases", "I5"},
			{LeaseFromTheRequest, "LeaseFromTheRequest", "leases", "I5"},
			{DeadStaysDead, "DeadStaysDead", "leases", "I5"},
			{StandbysDoNotRenew, "StandbysDoNotRenew", "leases", "I5"},
			{ProofEndsProcesses, "ProofEndsProcesses", "leases", "I5"},
		},
	},
	{
		name:   "requests",
		bounds: [2]string{"2 requests, 2 writes each, 2 leaders, 1 question", "2 requests, 2 writes each, 3 leaders, 1 question"},
		run:    requestsRun,
		actions: []string{requestTakeover, requestRoom, requestSend, requestRefuse, requestLand, requestAnswer, requestExpire, requestExpired,
			requestAsk, requestCheck, requestTell},
		covers: []covered{
			{AskTheQuorum, "AskTheQuorum", "R7", "I7"},
			{SaidOnlyWhenKnown, "SaidOnlyWhenKnown", "R8", "I7"},
			{OneTransaction, "OneTransaction", "R9", "I7"},
			{RefusalsAreRecorded, "RefusalsAreRecorded", "R9", "I7"},
			{RecordIsCreated, "RecordIsCreated", "R9", "I7"},
			{ExpiryCommitsAWatermark, "ExpiryCommitsAWatermark", "R9", "I7"},
			{CurrentFollowsACheck, "CurrentFollowsACheck", "R15", "I7"},
		},
	},
	{
		name:    "deletion",
		bounds:  [2]string{"3 checkpoints, 2 retained, 2 leaders", "4 checkpoints, 2 retained, 3 leaders"},
		run:     deletionRun,
		actions: []string{deleteTakeover, deleteReserve, deleteTake, deleteFull, deleteComplete, deleteAbort, deleteStrike, deleteHear, deleteFiles},
		covers: []covered{
			{DeadBeforeDeleted, "DeadBeforeDeleted", "R13", "I8"},
			{OnlyTheClosedIsGarbage, "OnlyTheClosedIsGarbage", "R13", "I8"},
			{ReferencesAreRetained, "ReferencesAreRetained", "R13", "I8"},
			{TriggerNamesTheBase, "TriggerNamesTheBase", "R13", "I8"},
		},
	},
	{
		name:    "connections",
		bounds:  [2]string{"2 attempts, 2 records", "3 attempts, 2 records"},
		run:     connectionsRun,
		actions: []string{connectRestart, connectDial, connectSend},
		covers: []covered{
			{ConnectionNamesItsEnds, "ConnectionNamesItsEnds", "R14", "I5"},
		},
	},
	{
		name:    "incarnation",
		bounds:  [2]string{"1 loss, 2 epochs", "2 losses, 4 epochs"},
		run:     incarnationRun,
		actions: []string{incarnationLead, incarnationRefuse, incarnationJob, incarnationWipe, incarnationOther, incarnationBack, incarnationMember, incarnationExecute},
		covers: []covered{
			{StorageKnowsTheIncarnation, "StorageKnowsTheIncarnation", "R16", "I8"},
			{MessagesNameTheIncarnation, "MessagesNameTheIncarnation", "R16", "I4"},
			{EpochHasOneLeader, "EpochHasOneLeader", "proposed", "I1"},
		},
	},
}
