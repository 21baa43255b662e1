-- Prints one line of JSON at the end of a run; `ranks` comes from wrk.py. Times are in microseconds.
-- wrk's own percentile of rank 100 is 0, so the greatest latency is asked for by its name.
done = function(summary, latency, requests)
  local percentiles, errors = {}, {}
  for _, rank in ipairs(ranks) do
    local time = rank == "100" and latency.max or latency:percentile(tonumber(rank))
    table.insert(percentiles, string.format('"%s": %d', rank, time))
  end
  for kind, count in pairs(summary.errors) do
    table.insert(errors, string.format('"%s": %d', kind, count))
  end
  io.write(string.format('{"requests": %d, "time": %d, "percentiles": {%s}, "errors": {%s}}\n',
    summary.requests, summary.duration, table.concat(percentiles, ", "), table.concat(errors, ", ")))
end
