from http.server import BaseHTTPRequestHandler, HTTPServer
import json,re

D = {}
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        m = re.match(r'^/(server[A-Z])/(books|health)$', self.path)
        if not m:
            self.send_error(404)
            return
        srv, ep = m.groups()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.end_headers()
        self.wfile.write(json.dumps({'status': 'ok'} if ep == 'health' else D.get(srv, [])).encode())

    def do_POST(self):
        m = re.match(r'^/(server[A-Z])/books$', self.path)
        if not m:
            self.send_error(404)
            return
        srv = m.group(1)
        d = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if 'name' in d and 'author' in d:
            D.setdefault(srv, []).append(d)
            self.send_response(201)
        else:
            self.send_response(400)
        self.send_header('Content-Type', 'application/json')
        self.end_headers()
        self.wfile.write(json.dumps({'book': d} if 'name' in d and 'author' in d else {'error': 'bad request'}).encode())

server = HTTPServer(('127.0.0.1', 0), H)
print(server.server_port, flush=True)
server.serve_forever()
