#include <complex>
#include <cstdint>
#include <cstddef>
#include <string>
#include <vector>
struct P { int x; char c; };
struct Empty {};
struct Base { int b; virtual ~Base() {} virtual int f() { return b; } static int counter; };
int Base::counter = 7;
struct D : Base, Empty { int d; unsigned f1:3; int f2:5; bool ok:1; union { int u; float uf; }; P ps[3]; int fl[]; };
struct V1 : virtual Base { int v; };
enum E { A=1, B=2, C=4 };
enum Z { Z0=0, Z1=1, Z2=2 };
enum class K : unsigned char { Red, Green };
enum M { M1 = 3, M2 = 4, M3=8 };
namespace ns { enum N { Na, Nb }; struct S { int q; enum T {Ta, Tb}; }; }
int fn(int a) { return a; }
int global_arr[5];
typedef int (P::*PM);
struct W { int w; int m(int q) { return q + w; } };
int test(int n, const std::string &s, P &pr, int &ir) {
  char buf[16] = "hi"; char buf8[8] = "hi"; char full[3] = {'a','b','c'}; unsigned char uc[4] = {1,2,200,0};
  signed char sc = -1; unsigned char u8 = 65; char nl = '\n'; char16_t c16 = u'a'; char32_t c32 = U'\u20ac'; wchar_t wc = L'x';
  const wchar_t *ws = L"wide\u20ac"; const char16_t *s16 = u"six"; const char *p = "hello\tworld\"\\ \303\251 \0011"; const char *nullp = nullptr; const char *badp = (char*)16;
  float f = 1.1f; double d = 3.14159; long double ld = 1.1L; double inf = 1.0/0.0; double nan = __builtin_nan(""); float nf = -__builtin_nanf(""); double one = 1; double big=1e300; double small=1e-5;
  std::complex<double> cd(1,2); _Complex float cf = 1.0f; bool t = true; 
  int arr[300]; for (int i = 0; i < 300; i++) arr[i] = i; int rep[20] = {1,1,1,1,1,1,1,1,1,1,2}; int ten[10] = {0}; int nine[9]={0}; int m2[2][3] = {{1,2,3},{4,5,6}};
  char big_c[300]; for (int i = 0; i < 300; i++) big_c[i] = 'a' + i % 26; char zero[1000] = {0}; char c10[11]="aaaaaaaaaa"; char c11[12]="aaaaaaaaaaa";
  char mixed[64] = "abcccccccccccccccccd";
  D dd; dd.b = 1; dd.d = 2; dd.f1 = 5; dd.f2 = -3; dd.ok = true; dd.u = 3; for (auto &q : dd.ps) q = P{1,'z'};
  V1 v1; v1.b = 4; v1.v = 5;
  E e0 = (E)0, e1 = A, e3 = (E)3, e9 = (E)9, e16=(E)16; Z z0 = Z0, z3 = (Z)3, z5=(Z)5; K k = K::Green, k9 = (K)9; M m3 = (M)7, m12=(M)12, m1=M1; ns::N nn = ns::Nb; ns::S::T nt = ns::S::Tb;
  int (*fp)(int) = fn; void *vp = global_arr; int *gp = &global_arr[2]; int *sp = arr; void (*nullf)() = nullptr; int **pp = &gp; 
  int P::*pm = &P::x; int (W::*pmf)(int) = &W::m; int (Base::*pvf)() = &Base::f;
  P &lref = pr; int &&rr = 5; const int &cr = ir; 
  int vla[n]; for (int i = 0; i < n; i++) vla[i] = i; Empty em; std::nullptr_t np = nullptr; std::byte by{3};
  __int128 i128 = -5; unsigned __int128 u128 = ((unsigned __int128)1 << 100); long long ll = -9; unsigned long long ull = ~0ull; short sh=-3; int8_t i8 = 9; uint8_t ui8 = 10;
  enum L { La, Lb } loc = Lb; auto lam = [&](int q) { return q + n; };
  std::vector<int> vec{1,2,3}; void *volatile fdf = 0; const char *longs = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
  static int st = 11; extern int ext_var; const char *const strs[2] = {"a", "b"}; P parr[2] = {{1,'a'},{2,'b'}}; float fa[3] = {1.5,2.5,1e10};
  const char **argvv = (const char**)strs; struct { int anon; } an{3}; float *fpp=fa; Base *bp = &dd; char *stack_s = buf;
  __builtin_trap();
  return fp(1) + st + ext_var;
}
int ext_var = 5;
int main() { P p{3,'q'}; int i = 4; return test(5, "string", p, i); }
