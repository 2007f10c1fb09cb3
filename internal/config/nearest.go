package config

// nearest is the key whose name takes the fewest edits to reach from s.
func nearest(s string) Name {
	best, distance := Name(""), -1
	for _, k := range Keys {
		if d := edits(s, string(k.Name)); distance < 0 || d < distance {
			best, distance = k.Name, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two strings, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
