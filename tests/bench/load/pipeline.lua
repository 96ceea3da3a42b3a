-- Sixteen requests in one piece.
function init()
  requests = string.rep(wrk.format('GET', '/'), 16)
end

function request()
  return requests
end
