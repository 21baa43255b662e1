# Compiled as it is: the function that starts a task is called for every request.
