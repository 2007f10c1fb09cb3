package config

// reloaded are the keys that SIGHUP has a running process read again.
var reloaded = map[Name]bool{LogLevel: true, HeartbeatInterval: true, HeartbeatTimeout: true, TaskManagerTimeout: true}

// Reloaded reports whether a running process takes another value of the key at SIGHUP. Other keys wait for a restart.
func (n Name) Reloaded() bool { return reloaded[n] }

// Changes are the keys that somebody has given another value, in the order of Keys; jobmanagers also by conf/masters.
// What follows from them by default is none.
func Changes(before, after *Config) (changed []Name) {
	for _, k := range Keys {
		given := before.IsSet(k.Name) || after.IsSet(k.Name) || k.Name == JobManagers
		if given && before.String(k.Name) != after.String(k.Name) {
			changed = append(changed, k.Name)
		}
	}
	return changed
}
