"""Two eras, four pairs: in which words a message goes on when client and child are not of the same one."""
