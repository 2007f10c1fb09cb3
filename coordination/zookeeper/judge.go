package zookeeper

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	Note    Level = "note"
	Warning Level = "warning" // the cluster works, and some failure will hurt more than it must
	Error   Level = "error"   // a JobManager would not work
)

// Finding is something to know about an ensemble or a cluster's place on it.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// What is thought slow. ZooKeeper's customary tick is 2 s; a follower that hears nothing of its
// leader for syncLimit ticks looks for another.
const (
	slowTickMillis     = 2000
	slowFailOverMillis = 10_000
	slowQuorumMillis   = 50
)

// oldest is the oldest release that has all that a Store needs: containers, and removal of them.
var oldest = []int{3, 5, 3}

// findings are collected in the order in which a person wants to know them.
type findings []Finding

func (f *findings) add(l Level, format string, args ...any) {
	*f = append(*f, Finding{l, fmt.Sprintf(format, args...)})
}

// judge says what is wrong with what was seen.
func judge(r Report, cfg Config) []Finding {
	f := findings{} // in JSON an empty list
	f.sessions(r)
	f.ensemble(r)
	f.speed(r)
	f.durability(r, cfg)
	f.access(r, cfg)
	f.cluster(r)
	slices.SortStableFunc(f, func(a, b Finding) int { return cmp.Compare(rank(b.Level), rank(a.Level)) })
	return f
}

func rank(l Level) int { return slices.Index([]Level{Note, Warning, Error}, l) }

func (f *findings) sessions(r Report) {
	level := Error
	for _, s := range r.Servers {
		if s.GrantedMillis > 0 {
			level = Warning // there are others
		}
	}
	for _, s := range r.Servers {
		switch {
		case s.Error != "":
			f.add(level, "%s gives no session: %s", s.Server, s.Error)
		case s.GrantedMillis > r.AskedMillis:
			f.add(Warning, "%s grants a session timeout of %d ms where %d were asked for (its minSessionTimeout, or two ticks): so long a JobManager that is lost seems to be there", s.Server, s.GrantedMillis, r.AskedMillis)
		case s.GrantedMillis < r.AskedMillis:
			f.add(Note, "%s grants a session timeout of %d ms where %d were asked for (its maxSessionTimeout, or twenty ticks)", s.Server, s.GrantedMillis, r.AskedMillis)
		}
	}
}

// ensemble judges who is in it.
func (f *findings) ensemble(r Report) {
	var leaders, alone []string
	versions := make(map[string]string) // with a server of each
	for _, s := range r.Servers {
		switch s.Mode {
		case "leader":
			leaders = append(leaders, s.Server)
		case "standalone":
			alone = append(alone, s.Server)
		}
		if s.Version != "" {
			versions[s.Version] = s.Server
		}
		if tooOld(s.Version) {
			f.add(Error, "%s is ZooKeeper %s; 3.5.3 is the oldest that can be used", s.Server, s.Version)
		}
	}
	if len(versions) > 1 {
		f.add(Warning, "the servers are of several versions: %v", versions)
	}
	if len(leaders) > 1 || len(alone) > 0 && len(r.Servers) > 1 {
		f.add(Error, "the servers of zookeeper.quorum are not one ensemble: those that decide by themselves are %s", strings.Join(append(leaders, alone...), ", "))
	}
	f.size(r, len(alone) > 0)
}

func (f *findings) size(r Report, alone bool) {
	voting, observers := 0, 0
	for _, m := range r.Members {
		if strings.Contains(m, ":observer") {
			observers++
		} else {
			voting++
		}
	}
	if alone {
		voting = 1
	}
	switch {
	case voting == 0 && r.Cluster.Error != "":
		return // there was no session to ask in, which is told
	case voting == 0:
		f.add(Note, "how many servers the ensemble has is not known (/zookeeper/config: %s)", cmp.Or(r.MembersNot, "empty"))
		return
	case voting == 1:
		f.add(Warning, "the ensemble is one server: while it is away nobody can take over and no checkpoint completes; three survive the loss of one")
	case voting%2 == 0:
		f.add(Warning, "%d servers vote: an even number survives no more failures than %d would", voting, voting-1)
	}
	if observers > 0 {
		f.add(Note, "%d of the ensemble's servers observe: they do not vote, and writes over them take longer", observers)
	}
	n := 0
	for _, s := range r.Servers {
		n += max(1, s.Behind)
	}
	if n < voting {
		f.add(Warning, "zookeeper.quorum names %d of %d voting servers: with those away it is not found, even if the others have a quorum", n, voting)
	}
}

func (f *findings) speed(r Report) {
	told := false
	for _, s := range r.Servers {
		told = told || s.TickMillis > 0
		switch failOver := s.TickMillis * s.SyncLimit; {
		case s.TickMillis > slowTickMillis:
			f.add(Warning, "%s has tickTime %d: the ensemble's own fail-over, and the shortest session timeout (two ticks), are slow; 2000 is customary", s.Server, s.TickMillis)
		case failOver > slowFailOverMillis:
			f.add(Warning, "%s waits for %d ms (tickTime %d, syncLimit %d) before it leaves a leader that is silent: so long no JobManager can take over", s.Server, failOver, s.TickMillis, s.SyncLimit)
		}
		if s.QuorumMillis > slowQuorumMillis {
			f.add(Warning, "a round to the ensemble's leader by way of %s takes %.0f ms: so long takes each step of a take-over, and each checkpoint", s.Server, s.QuorumMillis)
		}
	}
	if !told {
		f.add(Note, "no server tells its tickTime: neither the four-letter word conf nor the admin server answers")
	}
}

func (f *findings) durability(r Report, cfg Config) {
	told := false
	for _, s := range r.Servers {
		told = told || s.ForceSync != ""
		if s.ForceSync == "no" {
			f.add(Warning, "%s has forceSync=no: after a power failure it has forgotten what it confirmed, and an epoch may be given twice", s.Server)
		}
		if s.SkipACL == "yes" && cfg.ACL == ACLCreator {
			f.add(Warning, "%s has skipACL=yes: zookeeper.acl has no effect", s.Server)
		}
	}
	if !told {
		f.add(Note, "whether forceSync is on cannot be seen: no admin server answers (--admin-port says where)")
	}
}

func (f *findings) access(r Report, cfg Config) {
	switch {
	case cfg.ACL == ACLOpen:
		f.add(Note, "zookeeper.acl is open: whoever reaches the ensemble can change the cluster")
	case r.Cluster.Changeable:
		f.add(Warning, "zookeeper.acl is creator, and everybody may change %s, which was made before: give it to its user, with all below it (zkCli.sh: setAcl -R)", r.Node)
	}
	if cfg.AuthFile != "" && cfg.TLS == nil {
		f.add(Warning, "the password of zookeeper.auth.file is sent in the clear: set zookeeper.tls.enabled")
	}
}

func (f *findings) cluster(r Report) {
	c := r.Cluster
	switch {
	case c.Error != "":
		f.add(Error, "the cluster's nodes cannot be used: %s", c.Error)
	case !c.Exists:
		f.add(Note, "there is no %s: no JobManager with this root and cluster.id was here yet", r.Node)
	case c.Epoch > 0 && !c.Alive && len(c.Members) > 0:
		f.add(Warning, "nobody leads just now, and %d JobManagers are up", len(c.Members))
	case len(c.Members) == 0:
		f.add(Note, "no JobManager is up")
	case len(c.Members) == 1:
		f.add(Note, "one JobManager is up, and no standby")
	}
}

// tooOld reports false for what it cannot read.
func tooOld(version string) bool {
	var numbers []int
	for _, part := range strings.Split(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		numbers = append(numbers, n)
	}
	return slices.Compare(numbers, oldest) < 0
}
