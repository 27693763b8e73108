import velodrome

one = velodrome.TaskSpec("mlp", {}, velodrome.DataSpec("digits"), 8)
