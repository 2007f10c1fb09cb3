package config

import (
	"slices"
	"testing"
)

func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		before, after []string
		want          []Name
	}{
		"nothing":             {[]string{"rest.port=1"}, []string{"rest.port=1"}, nil},
		"set to its default":  {nil, []string{"log.level=info"}, nil},
		"set, changed, unset": {[]string{"rest.port=1", "cluster.id=x"}, []string{"rest.port=2", "log.level=warn"}, []Name{ClusterID, RestPort, LogLevel}},
		"not what follows":    {nil, []string{"zookeeper.quorum=a:1"}, []Name{ZooKeeperQuorum}},
	} {
		before, err := Load("", nil, test.before)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Load("", nil, test.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := Changes(before, after); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestReloadedKeysExist(t *testing.T) {
	for n := range reloaded {
		if find(n) == nil {
			t.Errorf("there is no key %q", n)
		}
	}
}
