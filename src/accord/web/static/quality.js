// While a survey of the votes is being made, the page asks for it again.
setTimeout(() => location.reload(), 2000);
